"""Every seam that the installed verl has is as the attachment expects it, in a fresh interpreter."""

import json
import os
import re
import subprocess
import sys

import pytest
from packaging.version import Version

from rvpo_verl.attach import hooks

VERSION = Version(hooks.verl_version())
NINE, EIGHT = Version("0.9"), Version("0.8")

ALWAYS = {
    "verl",
    "hydra.core.plugins",
    "verl.utils.config",
    "verl.experimental.agent_loop.agent_loop",
    "verl.experimental.agent_loop.tool_parser",
    "verl.experimental.reward_loop",
    "verl.experimental.reward_loop.reward_manager",
    "verl.trainer.main_ppo",
    "verl.trainer.ppo.core_algos",
    "verl.trainer.ppo.ray_trainer",
    "verl.experimental.separation.ray_trainer",
}
EXPECTED = (
    ALWAYS
    | ({"verl.experimental.fully_async_policy.detach_utils"} if VERSION >= EIGHT else set())
    | ({"verl.trainer.main_ppo_sync"} if EIGHT <= VERSION < NINE else set())
    | ({"verl.trainer.ppo.v1.utils", "verl.trainer.ppo.v1.trainer_base"} if VERSION >= NINE else set())
)


def python(code, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=clean | {"VERL_USE_EXTERNAL_MODULES": "rvpo_verl"} | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="module")
def loaded():
    done = python(
        "import importlib, json, verl; from rvpo_verl.attach import report; seams = [a.seam for a in report()]\n"
        "for seam in seams:\n"
        "    try: importlib.import_module(seam)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if not seam.startswith(error.name): raise\n"
        "from verl.trainer.ppo.core_algos import get_adv_estimator_fn\n"
        "from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls\n"
        "registered = [get_adv_estimator_fn('rvpo').__module__, get_reward_manager_cls('rvpo').__module__]\n"
        "print(json.dumps({'states': {a.seam: a.state for a in report()}, 'registered': registered}))"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_seam_of_this_version_is_found_and_no_other_is_waited_for_in_vain(loaded):
    states = loaded["states"]
    assert {seam for seam, state in states.items() if state == "attached"} == EXPECTED
    assert set(states.values()) <= {"attached", "waiting"}


def test_estimator_and_manager_are_in_verls_registries(loaded):
    estimator, manager = loaded["registered"]
    assert estimator in (
        "rvpo_verl.attach.estimator",
        "rvpo_verl.attach.native_api",
    )  # the second of a patched verl
    assert manager == "rvpo_verl.attach.manager"


@pytest.mark.parametrize("version", ["0.6.1", "0.7.0", "0.10.0", "1.0"])
def test_another_verl_is_refused_with_the_range_supported(monkeypatch, version):
    monkeypatch.setattr(hooks, "verl_version", lambda: version)
    said = re.escape(f"verl {version} is installed; this version of rvpo-verl supports verl{hooks.SUPPORTED}")
    with pytest.raises(hooks.UnsupportedVerlError, match=said):
        hooks.require_supported_version()


@pytest.mark.skipif(not EIGHT <= VERSION < NINE, reason="main_ppo_sync is verl 0.8's")
def test_a_trainer_that_belongs_to_the_script_reaches_rays_workers_attached(loaded, tmp_path):
    """`python -m verl.trainer.main_ppo_sync`: Ray pickles the classes of `__main__` by value."""
    script = tmp_path / "sync.py"
    script.write_text(
        "import runpy, sys\n"
        "import verl.trainer.main_ppo as main_ppo\n"
        "from ray import cloudpickle\n"
        "from rvpo_verl.attach import v1\n"
        "from rvpo_verl.attach.hooks import wrap\n"
        "def recorded(config, task_runner_class=None):\n"
        "    trainer = sys.modules['__main__'].PPOTrainer\n"
        f"    open({str(tmp_path / 'trainer')!r}, 'wb').write(cloudpickle.dumps(trainer))\n"
        "main_ppo.run_ppo = recorded\n"
        "v1.attach_script(main_ppo)\n"
        "sys.argv[1:] = ['algorithm.adv_estimator=grpo', 'actor_rollout_ref.rollout.name=vllm',\n"
        "    'actor_rollout_ref.actor.use_dynamic_bsz=True', 'hydra.run.dir=' + sys.argv[1]]\n"
        "runpy.run_module('verl.trainer.main_ppo_sync', run_name='__main__', alter_sys=True)\n"
    )
    done = python(
        "import runpy, sys; sys.argv[0:1] = []; runpy.run_path(sys.argv[0], run_name='__main__')",
        str(script),
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    worker = python(
        f"import pickle; trainer = pickle.load(open({str(tmp_path / 'trainer')!r}, 'rb')); "
        "print(hasattr(trainer._compute_advantage, '_wrapped_by_rvpo'), trainer.__init__._wrapped_by_rvpo)"
    )
    patched = loaded["registered"][0] == "rvpo_verl.attach.native_api"
    assert worker.stdout.split()[-2:] == [str(not patched), "True"], worker.stderr
