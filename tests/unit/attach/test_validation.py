"""What is refused before anything is loaded, with what to write instead."""

import pytest
from omegaconf import OmegaConf

from rvpo_verl.attach.startup import _validate
from rvpo_verl.attach.validation import validate
from rvpo_verl.attach.verl_config import rewards_config
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Scorer

RISES = {"schedule": "linear", "from": 0.0, "to": 1.0}


def by_step(response, global_step):
    return float(global_step)


def configuration(**changes):
    config = OmegaConf.create(
        {
            "algorithm": {"adv_estimator": "rvpo", "filter_groups": {"enable": False, "metric": "reward"}},
            "actor_rollout_ref": {"rollout": {"n": 4}},
            "trainer": {"use_v1": True},
            "reward": {
                "num_workers": 1,
                "custom_reward_function": {"path": None},
                "reward_manager": {"name": "rvpo"},
                "reward_model": {"enable": False, "enable_resource_pool": False},
                "rvpo": {"rewards": {"tool_call_format": {}, "tool_call_correctness": {}}},
            },
        }
    )
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    return config


def by_keys(**changes):
    config = configuration(reward__reward_manager__name="naive", **changes)
    del config.reward.rvpo
    return config


def test_a_configuration_that_can_train_is_accepted():
    validate(configuration())
    validate(by_keys(algorithm__gdpo_reward_keys=["a", "b/c"], algorithm__gdpo_reward_weights=[1, 0.5]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actor_rollout_ref__rollout__n": 1}, "rollout.n=1.*Set it to 4 or more"),
        ({"algorithm__adv_estimator": "RVPO"}, "adv_estimator=RVPO.*adv_estimator=rvpo"),
        ({"algorithm__filter_groups__enable": True}, "filter_groups.metric=reward.*metric=rvpo_vector"),
        (
            {"algorithm__filter_groups": {"enable": True, "metric": "tool_call_format"}},
            "filter_groups.metric=tool_call_format.*metric=rvpo_vector",
        ),
        (
            {"reward__custom_reward_function__path": "mine.py"},
            "custom_reward_function.path=mine.py.*Add it as one",
        ),
        (
            {"reward__reward_kwargs": {"overlong_buffer_cfg": {"enable": True}}},
            "reward_kwargs.*reward `length`",
        ),
        (
            {
                "algorithm__adv_estimator": "grpo",
                "reward__rvpo__rewards__tool_call_format": {"weight": RISES},
            },
            "tool_call_format follows a schedule.*adv_estimator=grpo.*set algorithm.adv_estimator=rvpo",
        ),
        (
            {
                "reward__reward_model": {"enable": True, "enable_resource_pool": False},
                "reward__custom_reward_function__path": "any.py",
                "reward__rvpo__rewards__late": {"function": "tests.unit.attach.test_validation:by_step"},
            },
            "its argument 'global_step' is not available here",
        ),
        ({"algorithm__use_pf_ppo": True}, "use_pf_ppo=True.*Set it to False"),
        ({"trainer__critic_warmup": 5}, "critic_warmup=5.*Set it to 0"),
        ({"reward__rvpo__rewards__acc": {"function": "length"}}, "'acc' already has a meaning"),
        (
            {"reward__rvpo__rewards__tool_rewards": {"function": "length"}},
            "tool_rewards: verl puts something else into the batch",
        ),
        ({"reward__rvpo__rewards__rvpo_mask": {"function": "length"}}, "'rvpo_mask' already has a meaning"),
    ],
)
def test_what_could_not_train_is_refused_with_what_to_write(changes, said):
    with pytest.raises(ConfigError, match=said):
        validate(configuration(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"algorithm__gdpo_reward_keys": "format"},
            r"gdpo_reward_keys='format': expected a list.*\[format,correct\]",
        ),
        ({"algorithm__gdpo_reward_weights": 2.0}, "gdpo_reward_weights=2.0: expected a list"),
        ({"algorithm__gdpo_reward_keys": ["a", "turn_scores"]}, "turn_scores: verl puts something else"),
        (
            {"algorithm__gdpo_reward_weights": [1.0, None]},
            r"gdpo_reward_weights=\[1.0, None\]: expected a list",
        ),
        (
            {"algorithm__gdpo_reward_weights": ["1", "2"]},
            r"gdpo_reward_weights=\['1', '2'\]: expected a list",
        ),
    ],
)
def test_keys_and_weights_of_another_type_are_refused_with_an_example(changes, said):
    with pytest.raises(ConfigError, match=said):
        validate(by_keys(**({"algorithm__gdpo_reward_keys": ["a", "b"]} | changes)))


@pytest.mark.parametrize("made", [configuration, by_keys])
def test_the_filter_of_groups_is_accepted_by_the_whole_vector_and_where_it_is_read(made):
    by_vector = {"algorithm__filter_groups": {"enable": True, "metric": "rvpo_vector"}}
    if made is by_keys:
        by_vector["algorithm__gdpo_reward_keys"] = ["a", "b"]
    validate(made(**by_vector))
    with pytest.raises(ConfigError, match=r"only trainer V1 of verl 0\.9 filters groups"):
        validate(made(**by_vector, trainer__use_v1=False))
    with pytest.raises(ConfigError, match=r"filter_groups\.metric=reward.*metric=rvpo_vector"):
        validate(made(**by_vector | {"algorithm__filter_groups__metric": "reward"}))


def test_the_path_of_a_reward_is_resolved_once_in_the_driver(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def short(response):\n    return -len(response)\n")
    monkeypatch.chdir(tmp_path)
    config = configuration(reward__rvpo__rewards__short={"function": "mine.py:short"})
    _validate(config)
    monkeypatch.chdir("/")  # a worker has another working directory
    assert Scorer(rewards_config(config)).rewards[-1].function("four") == -4
    assert config.reward.rvpo.rewards.short.function == f"{tmp_path}/mine.py:short"


@pytest.mark.parametrize(
    "form", ["file://{}/mine.py:short", "pkg://mine:short", "mine:short", "{}/mine.py:short"]
)
def test_addresses_are_understood_as_verl_writes_them(form, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def short(response):\n    return -len(response)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = configuration(reward__rvpo__rewards__short={"function": form.format(tmp_path)})
    _validate(config)
    assert Scorer(rewards_config(config)).rewards[-1].function("four") == -4
