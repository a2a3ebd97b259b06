"""The scripts of recipes/cluster, without a training: tests/launcher/test_two_nodes.py trains with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[1] / "recipes" / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))


def shell(script, *arguments, **env):
    """A finished bash that ran `script`, with no more than a path and `env` in its environment."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHON": sys.executable} | env,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_parse(script):
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


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


SLURM = {
    "srun": """#!/bin/bash
for option; do
  case $option in
    --exclude=a) export NODE_ADDRESS=127.0.0.2; echo $$ >"$0.pid" ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
exec "$@"
""",
    "scontrol": """#!/bin/bash
if [ "$1" = show ]; then printf 'a\\nb\\n'; else echo "$@" >"$0.requeued"; fi
""",
    "squeue": "#!/bin/bash\necho $STATE\n",
}
"""What slurm.sh calls, for a job on two nodes `a` and `b` that are both this machine."""


@pytest.mark.parametrize(("state", "requeued"), [("RUNNING", True), ("CANCELLED", False)])
def test_a_slurm_job_that_loses_a_node_is_queued_again_unless_it_was_cancelled(tmp_path, state, requeued):
    for name, text in SLURM.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = shell(
        f'exec {CLUSTER / "slurm.sh"} bash -c "$1"',
        f'echo NNODES=$NNODES; kill -KILL $(cat {tmp_path / "srun.pid"}); sleep 60',
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        RAY_OPTIONS="--num-cpus=1 --object-store-memory=100000000 --min-worker-port=0 --max-worker-port=0",
        HEAD_OPTIONS="--include-dashboard=false", LOGS=str(tmp_path / "logs"), RECIPES=str(CLUSTER.parent),
        SLURM_SUBMIT_DIR=".", SLURM_JOB_ID="7", SLURM_JOB_NUM_NODES="2", SLURM_JOB_NODELIST="a,b",
        SLURM_CPUS_ON_NODE="1", STATE=state,
    )  # fmt: skip
    assert "2 nodes, alike" in done.stdout, done.stderr
    assert "NNODES=2" in done.stdout
    assert done.returncode == 75, done.stderr
    requeue = tmp_path / "scontrol.requeued"
    assert (requeue.read_text() == "requeue 7\n") if requeued else not requeue.exists()


JOB = """
import json, os, ray, sys

@ray.remote
def on_a_node():
    return os.environ["VERL_USE_EXTERNAL_MODULES"], os.environ["MY_KEY"]

# As a recipe does, which would clash with what the job sets.
ray.init(runtime_env={"env_vars": {"VERL_USE_EXTERNAL_MODULES": "rvpo_verl"}})
print("JOB", json.dumps([os.getcwd(), os.environ["ALGO"], sys.argv[1], *ray.get(on_a_node.remote())]))
"""


def test_a_submitted_job_has_the_environment_of_whoever_submits(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    script = f"""
      set -e
      source {CLUSTER / "ray.sh"}
      DASHBOARD_PORT=$(free_port)
      HEAD_OPTIONS="--num-cpus=2 --object-store-memory=100000000 --dashboard-port=$DASHBOARD_PORT"
      prepare_cluster
      stop_cluster_at_exit
      hold head start_head
      wait_for_nodes 1
      export RAY_ADDRESS=http://127.0.0.1:$DASHBOARD_PORT ALGO=gdpo JUDGE_KEY_ENV=MY_KEY MY_KEY='a "b'
      until curl --silent --fail --output /dev/null -H "Authorization: Bearer $RAY_AUTH_TOKEN" \
        "$RAY_ADDRESS/api/version"; do sleep 1; done
      {CLUSTER / "submit.sh"} {sys.executable} job.py 'k={{schedule:linear,from:0.5}}'
    """
    done = shell(
        script, LOGS=str(tmp_path / "logs"),
        REMOTE_DIR=str(tmp_path), REMOTE_PYTHON=sys.executable, REMOTE_CLUSTER=str(CLUSTER),
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("JOB ")] or [
        done.stdout + done.stderr
    ]
    assert json.loads(line.removeprefix("JOB ")) == [
        str(tmp_path), "gdpo", "k={schedule:linear,from:0.5}", "rvpo_verl", 'a "b',
    ]  # fmt: skip
