import pytest

from rvpo_verl.config import AdvantageConfig, RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.schema import parse


def refused(model, values):
    path = {AdvantageConfig: "algorithm.rvpo", RewardsConfig: "reward.rvpo"}[model]
    with pytest.raises(ConfigError) as caught:
        parse(model, values, path)
    return str(caught.value)


def test_defaults_are_the_documented_ones():
    settings = parse(AdvantageConfig, {}, "algorithm.rvpo")
    assert (settings.aggregation, settings.k, settings.center_groups) == ("softmin", 2.0, True)
    assert (settings.constant_rewards, settings.whitening, settings.eps) == ("keep", "token", 1e-6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"agregation": "mean"}, ["algorithm.rvpo.agregation='mean'", "unknown key", "'aggregation'"]),
        ({"k": -1}, ["algorithm.rvpo.k=-1", "greater than or equal to 0"]),
        ({"k": "much"}, ["algorithm.rvpo.k='much'", "number"]),
        ({"k": float("nan")}, ["algorithm.rvpo.k=nan"]),
        ({"k": {"schedule": "linear", "from": 0.5}}, ["algorithm.rvpo.k", "needs `to`"]),
        ({"k": {"schedule": "linear", "from": -1, "to": 2}}, ["algorithm.rvpo.k.from=-1"]),
        ({"k": {"schedule": "steps", "from": 1, "to": 2}}, ["k.schedule='steps'", "linear", "cosine"]),
        ({"k": {"schedule": "linear", "from": 1, "to": 2, "ovr": 3}}, ["k.ovr=3", "'over'"]),
        ({"k": {"schedule": "linear", "from": 1, "to": 2, "over": 0}}, ["k.over=0", '"run"']),
        ({"beta": float("inf")}, ["algorithm.rvpo.beta=inf", "finite"]),
        ({"reward_keys": []}, ["algorithm.rvpo", "reward_keys is empty"]),
        ({"reward_keys": ["a", "b", "a"]}, ["duplicate", "['a']"]),
        ({"reward_keys": ["reward"]}, ["'reward'", "verl"]),
        ({"reward_keys": ["a"], "reward_weights": {"b": 1}}, ["['b']", "['a']"]),
        ({"reward_keys": ["a"], "reward_weights": {"a": 0}}, ["weight 0"]),
        ({"reward_weights": {"a": 1}}, ["reward_weights goes with reward_keys"]),
        ("linear", ["algorithm.rvpo='linear'", "expected a mapping"]),
    ],
)
def test_estimator_options_are_refused_with_key_value_and_what_is_accepted(values, said):
    message = refused(AdvantageConfig, values)
    assert all(part in message for part in said), message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ["reward.rvpo.rewards", "required"]),
        ({"rewards": {}}, ["rewards is empty"]),
        ({"rewards": {"a": {"wieght": 2}}}, ["reward.rvpo.rewards.a.wieght=2", "'weight'"]),
        ({"rewards": {"a": {"weight": -2}}}, ["reward.rvpo.rewards.a.weight=-2"]),
        ({"rewards": {"a": {"weight": 0}}}, ["every reward has weight 0"]),
        ({"rewards": {"a": {"timeout": 0}}}, ["reward.rvpo.rewards.a.timeout=0"]),
        ({"rewards": {"uid": {}}}, ["'uid'", "verl"]),
        ({"rewards": {"a b": {}}}, ["'a b' is not a reward name"]),
        ({"rewards": {"a": {"outputs": {"b": 1}, "weight": 2}}}, ["outputs", "weight"]),
        ({"rewards": {"a": {"outputs": {"b": 1}}, "b": {}}}, ["duplicate", "['b']"]),
        ({"rewards": {"a": {}}, "max_failure_share": 2}, ["reward.rvpo.max_failure_share=2"]),
        ({"rewards": {"a": {"only_if": {"c": 1}}, "b": {}}}, ["a.only_if names ['c']", "['b']"]),
        ({"rewards": {"a": {"only_if": {"a": 1}}, "b": {}}}, ["a.only_if names ['a']", "['b']"]),
        ({"rewards": {"a": {"only_if": {}}, "b": {}}}, ["reward.rvpo.rewards.a.only_if", "at least 1"]),
        ({"rewards": {"a": {"otherwise": -1}}}, ["`otherwise` goes with `only_if`"]),
        ({"rewards": {"a": {"weight": {"schedule": "linear", "from": 1}}}}, ["a.weight", "needs `to`"]),
        (
            {"rewards": {"a": {"weight": {"schedule": "linear", "from": -1, "to": 1}}}},
            ["reward.rvpo.rewards.a.weight.from=-1"],
        ),
        (
            {"rewards": {"a": {"weight": {"schedule": "constant", "from": float("inf")}}}},
            ["reward.rvpo.rewards.a.weight", "finite"],
        ),
        (
            {"rewards": {"a": {"outputs": {"b": {"schedule": "linear", "from": 0, "to": 0}}}}},
            ["every reward has weight 0"],
        ),
    ],
)
def test_reward_options_are_refused_with_key_value_and_what_is_accepted(values, said):
    message = refused(RewardsConfig, values)
    assert all(part in message for part in said), message


def test_every_complaint_is_named_at_once():
    message = refused(AdvantageConfig, {"k": -1, "eps": "tiny", "whitening": "batch"})
    assert len(message.splitlines()) == 3


def test_a_bare_reward_name_has_every_option_at_its_default():
    config = parse(RewardsConfig, {"rewards": {"tool_call_format": None}}, "reward.rvpo")
    assert config.weights() == {"tool_call_format": 1.0}


def test_outputs_take_the_place_of_their_reward():
    config = parse(
        RewardsConfig, {"rewards": {"a": {"outputs": {"x": 2, "y": 0}}, "b": {"weight": 3}}}, "reward.rvpo"
    )
    assert config.names() == ["x", "y", "b"]
    assert config.weights() == {"x": 2.0, "y": 0.0, "b": 3.0}
