import math

import pytest

from rvpo_verl.attach.verl_config import advantage_config, settings
from rvpo_verl.core.schedule import value_at as k_at


def k_of(value):
    return settings(advantage_config({"rvpo": {"k": value}})).k


def linear(**options):
    return k_of({"schedule": "linear", "from": 0.5, "to": 2.0, **options})


def test_a_number_is_k_at_every_step_and_needs_no_trainer():
    assert k_at(k_of(1.5), None, None) == 1.5
    assert k_at(k_of("inf"), 7, 10) == math.inf
    assert k_at(k_of({"schedule": "constant", "from": 1.5}), None, None) == 1.5


def test_linear_goes_from_the_first_to_the_last_step_and_stays():
    k = linear(over=4)
    assert [k_at(k, step, None) for step in (1, 2, 3, 4, 5, 99)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_cosine_starts_and_ends_flat():
    k = k_of({"schedule": "cosine", "from": 0.0, "to": 1.0, "over": 5})
    expected = [0.0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1.0]
    assert [k_at(k, step, None) for step in range(1, 6)] == pytest.approx(expected)


def test_over_run_is_the_whole_training():
    assert [k_at(linear(), step, 4) for step in range(1, 5)] == [0.5, 1.0, 1.5, 2.0]
    assert k_at(linear(), 1, 1) == 0.5


def test_k_may_descend():
    k = k_of({"schedule": "linear", "from": 2.0, "to": 1.0, "over": 3})
    assert [k_at(k, step, None) for step in (1, 2, 3)] == [2.0, 1.5, 1.0]


def test_k_depends_on_the_global_step_alone_so_that_a_resumed_run_goes_on():
    whole = [k_at(linear(), step, 10) for step in range(1, 11)]
    resumed = [k_at(linear(), step, 10) for step in range(6, 11)]
    assert whole[5:] == resumed


@pytest.mark.parametrize(
    ("step", "total", "missing"), [(None, 10, "global_steps"), (3, None, "total_training_steps")]
)
def test_a_schedule_without_step_or_length_says_what_to_set(step, total, missing):
    with pytest.raises(ValueError, match=missing):
        k_at(linear(), step, total)
