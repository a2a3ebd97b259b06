"""recipes/cluster with a real Ray on this machine, without a training: a node lost, a stale plugin, a submitted job."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(300)]

CLUSTER = ROOT / "recipes" / "cluster"
SMALL = "--num-cpus=1 --object-store-memory=100000000 --min-worker-port=0 --max-worker-port=0"
NO_DASHBOARD = "--include-dashboard=false"


def shell(folder, script, *arguments, **env):
    """A finished bash that ran `script` in `folder`, with no more than a path and `env` in its environment."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHON": sys.executable} | env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )


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
if [ "$1" = show ]; then set -e; echo a; sleep 0.5; echo b; else echo "$@" >"$0.requeued"; fi
""",
    "squeue": "#!/bin/bash\necho $STATE\n",
}
"""What slurm.sh calls, for a job on two nodes `a` and `b` that are both this machine.

scontrol writes the second name after a reader of the first one might have gone.
"""


@pytest.mark.parametrize(("state", "requeued"), [("RUNNING", True), ("CANCELLED", False)])
def test_a_slurm_job_that_loses_a_node_is_queued_again_unless_it_was_cancelled(tmp_path, state, requeued):
    for name, text in SLURM.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = shell(
        tmp_path, f'exec {CLUSTER / "slurm.sh"} bash -c "$1"',
        f'echo NNODES=$NNODES; kill -KILL $(cat {tmp_path / "srun.pid"}); sleep 60',
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        RAY_OPTIONS=SMALL, HEAD_OPTIONS=NO_DASHBOARD, LOGS=str(tmp_path / "logs"), RECIPES=str(CLUSTER.parent),
        SLURM_SUBMIT_DIR=".", SLURM_JOB_ID="7", SLURM_JOB_NUM_NODES="2", SLURM_JOB_NODELIST="a,b",
        SLURM_CPUS_ON_NODE="1", STATE=state,
    )  # fmt: skip
    assert "2 nodes, alike" in done.stdout, done.stderr
    assert "NNODES=2" in done.stdout
    assert done.returncode == 75, done.stderr
    requeue = tmp_path / "scontrol.requeued"
    assert (requeue.read_text() == "requeue 7\n") if requeued else not requeue.exists()


SSH = """#!/bin/bash
exec env -i HOME="$HOME" PATH=/usr/bin:/bin NODE_ADDRESS="$1" PYTHONPATH="$0.packages" "${@:2}"
"""


def test_nothing_runs_where_a_node_has_another_copy_of_the_plugin(tmp_path):
    ssh, packages = tmp_path / "ssh", tmp_path / "ssh.packages"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    (packages / "rvpo_verl").mkdir(parents=True)
    (packages / "rvpo_verl" / "__init__.py").write_text("# an old one\n")
    done = shell(
        tmp_path, f"exec {CLUSTER / 'ssh.sh'} echo TRAINED",
        HOSTS="127.0.0.2", SSH=str(ssh), LOGS=str(tmp_path / "logs"), RAY_OPTIONS=SMALL, HEAD_OPTIONS=NO_DASHBOARD,
    )  # fmt: skip
    assert done.returncode == 1
    assert "TRAINED" not in done.stdout
    assert "127.0.0.2: rvpo_verl's code is " in done.stderr
    assert "verl is" not in done.stderr


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
        tmp_path, script, LOGS=str(tmp_path / "logs"),
        REMOTE_DIR=str(tmp_path), REMOTE_PYTHON=sys.executable, REMOTE_CLUSTER=str(CLUSTER),
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("JOB ")] or [
        done.stdout + done.stderr
    ]
    assert json.loads(line.removeprefix("JOB ")) == [
        str(tmp_path), "gdpo", "k={schedule:linear,from:0.5}", "rvpo_verl", 'a "b',
    ]  # fmt: skip
