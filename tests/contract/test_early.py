"""The launchers of the installed verl refuse what cannot train in the driver, before Ray is started."""

import subprocess
import sys

import pytest

from rvpo_verl.attach.hooks import verl_version

SYNC = verl_version().startswith("0.8.")
LAUNCHERS = ["verl.trainer.main_ppo", *(["verl.trainer.main_ppo_sync"] if SYNC else [])]


@pytest.mark.parametrize("main", LAUNCHERS)
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+rvpo=tool_calling", "algorithm.rvpo.k=-1"], "algorithm.rvpo.k=-1"),
        (["algorithm.adv_estimator=rvpo"], "nothing yields several rewards"),
    ],
    ids=["with a preset", "without"],
)
def test_a_configuration_that_cannot_train_ends_the_launcher_before_ray(tmp_path, main, overrides, message):
    from rvpo_verl.cpu.launch import environment

    done = subprocess.run(
        [sys.executable, "-m", main, "trainer.device=cpu", *overrides],
        cwd=tmp_path,
        env=environment({"VERL_PLATFORM": ""}),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode != 0
    assert "rvpo_verl: this configuration cannot train" in done.stderr
    assert message in done.stderr
    assert "ray init kwargs" not in done.stdout
