"""Training on two Ray nodes that recipes/cluster/ssh.sh starts, one of which is lost on the way.

Both are on this machine, each with a separate raylet, object store and address. A stand-in for ssh runs its
command here, in an environment that inherits nothing, as ssh would.
"""

import stat
import sys
import time

import psutil
import pytest

from tests.support.paths import ROOT

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(900)]

CLUSTER = ROOT / "recipes" / "cluster"
WORKER = "127.0.0.2"
NODE_LOST = 75
SSH = """#!/bin/bash
echo $$ >"$0.$1"
exec env -i HOME="$HOME" PATH=/usr/bin:/bin NODE_ADDRESS="$1" "${@:2}"
"""


@pytest.fixture(scope="module")
def runs(train, tmp_path_factory):
    """Four steps with a node lost after the checkpoint of step 2, the same command again, and what each left."""
    folder = tmp_path_factory.mktemp("cluster")
    ssh = folder / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    ray_folder = tmp_path_factory.mktemp("r")  # short: paths of sockets are limited
    node = (
        "--num-gpus=1 --num-cpus=12 --object-store-memory=300000000 --min-worker-port=0 --max-worker-port=0"
    )
    env = {
        "HOSTS": WORKER,
        "SSH": str(ssh),
        "PYTHON": sys.executable,
        "RAY_OPTIONS": node,
        "HEAD_OPTIONS": f"--include-dashboard=false --temp-dir={ray_folder}",
        "FORWARD": "RECORDER_FILE",
    }
    checkpoints = folder / "checkpoints"
    overrides = [
        "+rvpo=tool_calling",
        "algorithm.rvpo.k={schedule:linear,from:0.5,to:2.0}",
        "trainer.total_training_steps=4",
        "trainer.save_freq=2",
        f"trainer.default_local_dir={checkpoints}",
        "trainer.resume_mode=auto",
    ]
    saved = checkpoints / "latest_checkpointed_iteration.txt"
    killed = []

    def lose_the_worker_after_step_2(result):
        if not killed and 2 in result.steps and saved.exists():
            killed.extend(_kill_tree(int((folder / f"ssh.{WORKER}").read_text())))

    def run(name, **kwargs):
        return train(
            *overrides, nodes=2, through=[str(CLUSTER / "ssh.sh")], env={**env, "LOGS": str(folder / name)}, **kwargs
        )  # fmt: skip

    lost = run("lost", until=lose_the_worker_after_step_2)
    assert saved.read_text() == "2"
    left = _left_of(ray_folder)
    resumed = run("resumed")
    return lost, killed, left, resumed, _left_of(ray_folder)


def _kill_tree(pid):
    """Ends a process and all that descend from it as a loss of power would; their command lines."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    commands = [" ".join(process.cmdline()) for process in processes]
    for process in processes:
        process.kill()
    return commands


def _left_of(ray_folder):
    """Command lines of the processes of a Ray that has just ended, but for those that are gone in a moment."""
    for _ in range(50):
        commands = (" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        left = [command for command in commands if f"{ray_folder}/" in command]
        if not left:
            break
        time.sleep(0.1)
    return left


def test_both_nodes_train(runs):
    _, killed, _, resumed, _ = runs
    assert "2 nodes, alike" in resumed.log
    assert any("raylet/raylet" in command for command in killed)
    assert sum("WorkerDict" in command for command in killed) == 1  # the other rank was on the head


def test_losing_a_node_ends_the_run_at_once_and_says_so(runs):
    lost, _, left, _, _ = runs
    assert lost.status == NODE_LOST
    assert f"Node {WORKER} is lost" in lost.log
    assert list(lost.steps) == [1, 2]
    assert left == []


def test_the_same_command_again_ends_as_if_no_node_had_been_lost(runs):
    lost, _, _, resumed, left = runs
    assert resumed.status == 0
    assert list(resumed.steps) == [3, 4]
    k = [run.steps[step]["rvpo/k"] for run in (lost, resumed) for step in run.steps]
    assert k == [0.5, 1.0, 1.5, 2.0]
    assert left == []
