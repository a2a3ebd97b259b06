"""The scripts of recipes/cluster, without a training: tests/launcher/test_two_nodes.py trains with them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CLUSTER = ROOT / "recipes" / "cluster"
SCRIPTS = sorted(
    str(path.relative_to(ROOT)) for name in ("recipes", "scripts") for path in (ROOT / name).rglob("*.sh")
)


def shell(script, *arguments, **env):
    """A finished bash that ran `script`, with no more than a path and `env` in its environment."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHON": sys.executable} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_shellcheck_finds_nothing_in_any_script():
    assert len(SCRIPTS) > 10
    done = subprocess.run(
        [shutil.which("shellcheck", path=Path(sys.executable).parent) or "shellcheck", *SCRIPTS],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_pipeline_has_a_reader_that_stops_early(script):
    """Under `pipefail` the writer's SIGPIPE would end the script with status 141."""
    text = (ROOT / script).read_text()
    assert not re.search(r"[^|]\|&?\s*(head|read|grep\s+-\w*[qm]|sed\s[^|\n]*q\b|awk\s[^|\n]*\bexit)\b", text)


def test_a_recipe_names_the_same_files_whatever_directory_rays_workers_have():
    done = shell(
        f"cd /tmp && exec {ROOT / 'recipes' / 'tool_calling.sh'} 3b",
        DRY_RUN="options",
        TRAIN_FILES="[a,b]",
        VAL_FILES="val",
        OUTPUT="out",
    )
    options = done.stdout.splitlines()
    assert "data.train_files=[a,b]" in options
    assert "data.val_files=/tmp/val" in options
    assert "trainer.default_local_dir=/tmp/out" in options
    assert "actor_rollout_ref.model.path=Qwen/Qwen2.5-3B-Instruct" in options


def test_nodes_get_keys_and_settings_and_not_the_rest():
    done = shell(
        f"source {CLUSTER / 'ray.sh'}; forwarded",
        WANDB_API_KEY="w", HF_TOKEN="h", JUDGE_URL="u", JUDGE_KEY_ENV="MY_KEY", MY_KEY="k", EDITOR="vi",
        FORWARD="ALSO", ALSO="1", VERL_USE_EXTERNAL_MODULES="rvpo_verl", RAY_JOB_CONFIG_JSON_ENV_VAR="{}",
    )  # fmt: skip
    expected = {"WANDB_API_KEY", "HF_TOKEN", "JUDGE_URL", "JUDGE_KEY_ENV", "MY_KEY", "ALSO"}
    assert expected | {"VERL_USE_EXTERNAL_MODULES", "PATH"} == set(done.stdout.split())


def test_a_command_ends_with_its_own_status_while_all_nodes_live(tmp_path):
    script = f"""
      source {CLUSTER / "ray.sh"}
      hold a sleep 60
      run_on_cluster bash -c 'exit 3'; s=$?; stop_cluster; exit $s
    """
    assert shell(script, LOGS=str(tmp_path)).returncode == 3


def test_a_lost_node_ends_the_command(tmp_path):
    script = f"""
      source {CLUSTER / "ray.sh"}
      hold a sleep 60; hold b bash -c 'echo out of memory; exit 1'
      run_on_cluster sleep 60; s=$?; stop_cluster; exit $s
    """
    done = shell(script, LOGS=str(tmp_path), STOP_SECONDS="5")
    assert done.returncode == 75
    output = (tmp_path / "run.log").read_text()
    assert "Node b is lost" in output
    assert "out of memory" in output


def test_a_node_ends_with_the_connection_that_started_it():
    node = subprocess.Popen(
        ["bash", "-c", f"source {CLUSTER / 'ray.sh'}; while_connected sleep 60"], stdin=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        node.wait(2)
    node.stdin.close()
    assert node.wait(20) != 0
