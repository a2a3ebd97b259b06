"""Each test is a fresh interpreter: what is loaded, in which order, cannot be undone in this one."""

import os
import subprocess
import sys

import pytest

ATTACHED = (
    "from verl.trainer.ppo.core_algos import get_adv_estimator_fn; "
    "from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls; "
    "print(get_adv_estimator_fn('rvpo').__module__, get_reward_manager_cls('rvpo').__module__)"
)
WHERE = "rvpo_verl.attach.estimator rvpo_verl.attach.manager"


def python(code, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        ("import verl", {}),
        ("import verl", {"VERL_USE_EXTERNAL_PLUGINS": "none", "VERL_USE_EXTERNAL_MODULES": "rvpo_verl"}),
        ("import verl", {"VERL_USE_EXTERNAL_MODULES": "rvpo_verl"}),
        ("import rvpo_verl", {"VERL_USE_EXTERNAL_PLUGINS": "none"}),
        ("import verl.trainer.ppo.core_algos, rvpo_verl", {"VERL_USE_EXTERNAL_PLUGINS": "none"}),
    ],
    ids=["entry point", "external module", "both", "plugin first", "plugin last"],
)
def test_attaches_however_and_in_whatever_order_it_is_loaded(code, environment):
    done = python(f"{code}; {ATTACHED}", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == WHERE


def test_attaching_again_does_no_harm():
    again = (
        "import importlib, verl, verl.trainer.ppo.ray_trainer as trainer, rvpo_verl, rvpo_verl.attach; "
        "before = trainer.compute_advantage; "
        "rvpo_verl.attach.register_hooks(); importlib.reload(rvpo_verl); "
        "[importlib.reload(sys.modules[name]) for name in "
        "('rvpo_verl.attach.estimator', 'rvpo_verl.attach.registries', 'rvpo_verl.attach.hooks', 'rvpo_verl.attach')]; "
        "rvpo_verl.attach.register_hooks(); "
        "assert trainer.compute_advantage is before; "
    )
    done = python(f"import sys; {again}{ATTACHED}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == WHERE


def test_loading_imports_no_trainer():
    done = python("import sys, verl; print([m for m in sys.modules if m.startswith('verl.trainer')])")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def other_verl(tmp_path):
    """What an environment with an unknown release of verl looks like to the plugin."""
    metadata = tmp_path / "verl-0.12.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: verl\nVersion: 0.12.0\n")
    return str(tmp_path)


def test_an_unsupported_verl_stops_a_command_that_asks_for_rvpo(other_verl):
    done = python("import verl; print('trains')", "algorithm.adv_estimator=rvpo", PYTHONPATH=other_verl)
    assert done.returncode != 0
    assert "trains" not in done.stdout
    assert "verl 0.12.0 is installed; this version of rvpo-verl supports verl" in done.stderr


def test_an_unsupported_verl_is_reported_and_leaves_other_commands_alone(other_verl):
    done = python("import verl; print('trains')", "algorithm.adv_estimator=grpo", PYTHONPATH=other_verl)
    assert done.stdout.splitlines()[-1] == "trains"
    assert "could not attach to verl" in done.stderr
    assert "verl 0.12.0 is installed" in done.stderr


def test_the_mathematics_needs_no_verl():
    hidden = (
        "import importlib.util, sys; find = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *rest: None if name == 'verl' else find(name, *rest); "
    )
    done = python(f"{hidden}import rvpo_verl.core.advantage; print('verl' in sys.modules)")
    assert done.stdout.splitlines()[-1] == "False", done.stderr
