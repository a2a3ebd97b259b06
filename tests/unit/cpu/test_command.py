import os
import subprocess
import sys


def test_the_command_composes_what_a_cpu_needs_with_the_given_overrides_last(tmp_path):
    """Hydra prints the configuration of the run in place of starting it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    overrides = ["+rvpo=tool_calling", "actor_rollout_ref.rollout.agent.num_workers=3"]
    done = subprocess.run(
        [sys.executable, "-m", "rvpo_verl.cpu", *overrides, "--cfg", "job", "--resolve"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    for line in ("  device: cpu", "    name: hf", "      num_workers: 3", "  adv_estimator: rvpo"):
        assert line in done.stdout.splitlines(), done.stdout
    assert "      num_workers: 1" not in done.stdout.splitlines()


def test_launch_cpu_adds_what_a_cpu_needs_and_takes_the_overrides_last(tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    overrides = [
        "+rvpo=default",
        "actor_rollout_ref.rollout.agent.num_workers=3",
        "--cfg",
        "job",
        "--resolve",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "rvpo_verl", "launch-cpu", "--rollout", "vllm", "--ranks", "2", *overrides],
        cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in ("  device: cpu", "    name: vllm", "  n_gpus_per_node: 2", "      num_workers: 3"):
        assert line in done.stdout.splitlines(), done.stdout
