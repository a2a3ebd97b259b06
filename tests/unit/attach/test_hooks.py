import types

import cloudpickle
import pytest

from rvpo_verl.attach.hooks import UnsupportedVerlError, seam, wrap


def layout(**members):
    module = types.ModuleType("verl.somewhere")
    for name, value in members.items():
        setattr(module, name, value)
    return module


def advantage(data, config):
    return data, config


def doubled(original, *args, **kwargs):
    return original(*args, **kwargs) * 2


def test_a_seam_is_what_verl_has_under_that_name():
    assert seam(layout(advantage=advantage), "advantage", ("data",)) is advantage


@pytest.mark.parametrize("members", [{}, {"advantage": advantage}, {"advantage": 3}])
def test_an_unknown_layout_names_what_was_expected_and_the_versions_supported(members):
    with pytest.raises(UnsupportedVerlError) as refused:
        seam(layout(**members), "advantage", ("data", "step"))
    message = str(refused.value)
    assert "verl.somewhere.advantage(data, step)" in message
    assert ("(data, config)" if members.get("advantage") is advantage else "nothing") in message
    assert ">=0.7.1" in message


def test_wrapping_twice_wraps_once():
    module = layout(advantage=advantage)
    wrap(module, "advantage", ("data",), doubled)
    wrap(module, "advantage", ("data",), doubled)
    assert module.advantage(1, 2) == (1, 2, 1, 2)
    assert module.advantage.__name__ == "advantage"


def test_what_is_wrapped_can_be_sent_to_a_worker():
    import verl.trainer.ppo.ray_trainer as trainer

    assert trainer.compute_advantage._wrapped_by_rvpo
    assert cloudpickle.loads(cloudpickle.dumps(trainer.compute_advantage)) is trainer.compute_advantage
