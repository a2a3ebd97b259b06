"""The reward `rubric` as the manager calls it, and what is found out before a training."""

import asyncio
import logging

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from scripted_judge import fault_of, scripted_judge, verdict_of

from rvpo_verl.attach import launch
from rvpo_verl.config import RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.prompt import Subject, question
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.failures import disagreements
from rvpo_verl.rubric import Criterion
from rvpo_verl.schema import parse

MESSAGES = [{"role": "user", "content": "What helps?"}]
RUBRIC = [
    {"criterion": "Names honey", "category": "Essential", "weight": 1.0, "polarity": 1, "levels": 1},
    {"criterion": "Is clear", "category": "Optional", "weight": 0.3, "polarity": 1, "levels": 4},
    {
        "criterion": "Mentions a dose for adults only",
        "category": "Pitfall",
        "weight": 0.9,
        "polarity": -1,
        "levels": 1,
    },
    {"criterion": "Avoids jargon", "category": "Pitfall", "weight": 0.9, "polarity": 1, "levels": 1},
]


def config(server, **judge):
    endpoints = (
        None if server is None else [{"base_url": getattr(server, "base_url", server), "model": "judge"}]
    )
    judge = {"endpoints": endpoints, "backoff": 0.01, **judge}
    spec = {"weight": 2.0, "timeout": None, "kwargs": {"judge": judge}}
    return {"rewards": {"rubric": spec, "length": {"kwargs": {"max_length": 9, "buffer": 1}}}}


def score(settings, *answers, rubric=RUBRIC):
    scorer = Scorer(parse(RewardsConfig, settings, "reward.rvpo"))
    samples = [
        Sample(answer, messages=MESSAGES, extra_info={"rubric": rubric}, response_ids=[1])
        for answer in answers
    ]

    async def all_of_them():
        return await asyncio.gather(*map(scorer.score, samples))

    return asyncio.run(all_of_them())


def text(answer, row):
    return Subject.of(MESSAGES, answer, 32_000).text + question({"1": Criterion(**row)})


def test_each_criterion_is_a_reward_with_its_weight_and_its_polarity():
    with scripted_judge() as server:
        (vector,) = score(config(server), "Honey.")
    truths = [
        verdict_of(text("Honey.", row), "1", {"enum": range(5)} if row["levels"] == 4 else None)
        for row in RUBRIC
    ]
    assert vector.scores == {
        "rubric/Essential/1": float(truths[0]),
        "rubric/Optional/2": truths[1] / 4,
        "rubric/Pitfall/3": 1.0 - truths[2],
        "rubric/Pitfall/4": float(truths[3]),
        "length": 0.0,
    }
    assert vector.weights == {
        "rubric/Essential/1": 2.0,
        "rubric/Optional/2": 0.6,
        "rubric/Pitfall/3": 1.8,
        "rubric/Pitfall/4": 1.8,
        "length": 1.0,
    }


def test_a_verdict_that_failed_is_missing_by_itself():
    faults = {"server_error": 0.4}
    answers = [f"Honey {number}." for number in range(6)]
    with scripted_judge(faults=faults) as server:
        vectors = score(config(server, attempts=1), *answers)
    seen = set()
    for answer, vector in zip(answers, vectors, strict=True):
        for row, (name, value) in zip(RUBRIC, vector.of("rubric").items(), strict=True):
            fault = fault_of(text(answer, row), faults)
            seen.add(fault)
            assert (value is None) == (fault is not None) == (name in vector.failures)
            if fault:
                assert vector.failures[name].startswith(
                    f"server_error: {server.base_url} (judge) answered with HTTP 503"
                )
    assert seen == {None, "server_error"}


def test_a_row_without_a_rubric_is_one_failure_with_its_cause():
    with scripted_judge() as server:
        (vector,) = score(config(server), "Honey.", rubric=[{"criterion": "a", "polarity": 2}])
    assert vector.failures == {
        "rubric": "ValueError: extra_info['rubric'][0]['polarity']: Input should be 1 or -1, not 2"
    }


def test_votes_that_differ_show_up_by_category():
    with scripted_judge() as server:
        (vector,) = score(config(server, votes=2, temperature=1.0), "Honey.")
    assert disagreements([vector]) == {"rubric/Essential": 0.0, "rubric/Optional": 0.0, "rubric/Pitfall": 0.0}
    assert vector.disagreements.keys() == vector.of("rubric").keys()


# --- before a training ----------------------------------------------------------------------------------


def preset(*overrides):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", ["+rvpo=rubrics", *overrides])


def endpoints(*base_urls):
    listed = ",".join(f'{{base_url:"{base_url}",model:judge}}' for base_url in base_urls)
    return f"reward.rvpo.rewards.rubric.kwargs.judge.endpoints=[{listed}]"


def test_a_judge_that_answers_is_asked_once_and_accepted():
    with scripted_judge() as server:
        launch.validate(preset(endpoints(server.base_url)))
        assert server.counts()["received"] == 1


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ({"key": "secret"}, "rejected: .* answered with HTTP 401: .*Incorrect API key"),
        ({"reply": "I would rather not."}, "malformed: .* wrote no verdict in 'I would rather not.'"),
    ],
)
def test_a_judge_that_gives_no_verdict_ends_the_training_before_it_starts(script, said):
    with (
        scripted_judge(**script) as server,
        pytest.raises(
            ConfigError, match=f"(?s)cannot train:.*reward 'rubric': the judge gives no verdict.*{said}"
        ),
    ):
        launch.validate(
            preset(endpoints(server.base_url), "reward.rvpo.rewards.rubric.kwargs.judge.backoff=0.01")
        )


def test_a_judge_that_is_down_ends_the_training_before_it_starts():
    few = ["reward.rvpo.rewards.rubric.kwargs.judge.attempts=1"]
    with pytest.raises(ConfigError, match=r"connection: http://127.0.0.1:9/v1 \(judge\): "):
        launch.validate(preset(endpoints("http://127.0.0.1:9/v1"), *few))


def test_one_of_several_endpoints_is_enough(caplog):
    with scripted_judge() as server, caplog.at_level(logging.WARNING):
        few = ["reward.rvpo.rewards.rubric.kwargs.judge.attempts=1"]
        launch.validate(preset(endpoints("http://127.0.0.1:9/v1", server.base_url), *few))
    assert "http://127.0.0.1:9/v1" in caplog.text


def test_the_judge_that_verl_serves_cannot_be_asked_yet_and_that_is_said(caplog):
    served = [
        "reward.reward_model.enable=True",
        "reward.reward_model.enable_resource_pool=True",
        "reward.reward_model.rollout.name=vllm",
        "reward.custom_reward_function.path=unused.py",
    ]
    with caplog.at_level(logging.WARNING):
        launch.validate(preset(*served))
    assert "whether it answers shows at its first verdicts" in caplog.text


def test_the_preset_without_a_judge_says_what_to_set():
    with pytest.raises(ConfigError, match=r"judge\.endpoints=.*or reward\.reward_model\.enable=True"):
        launch.validate(preset())


def test_a_limit_below_the_number_of_workers_is_refused():
    with (
        scripted_judge() as server,
        pytest.raises(ConfigError, match=r"limit=4 calls in flight for reward.num_workers=8 processes"),
    ):
        launch.validate(preset(endpoints(server.base_url), "reward.rvpo.rewards.rubric.kwargs.judge.limit=4"))


def test_a_timeout_that_would_lose_verdicts_is_refused():
    with pytest.raises(ConfigError, match=r"timeout=60 would .*Set timeout: null"):
        launch.validate(preset(endpoints("http://127.0.0.1:9/v1"), "reward.rvpo.rewards.rubric.timeout=60"))


def test_the_preset_shows_every_option_at_its_default():
    from rvpo_verl.judge.config import JudgeConfig

    judge = OmegaConf.to_container(preset().reward.rvpo.rewards.rubric.kwargs.judge)
    assert parse(JudgeConfig, judge, "judge") == JudgeConfig()
    assert judge.keys() == JudgeConfig.model_fields.keys()
