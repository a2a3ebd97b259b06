"""The reward `rubric` as the manager calls it, and its checks before a training."""

import asyncio

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from rvpo_verl.config import RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.judge import prompt
from rvpo_verl.judge.config import CallLogConfig, JudgeConfig
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.failures import disagreements
from rvpo_verl.rewards.protocol import CallsServices, Probes, RequiresColumns, RunContext, Validates
from rvpo_verl.rewards.registry import resolve
from rvpo_verl.rewards.rubric import rubric
from rvpo_verl.rubric import Criterion
from rvpo_verl.schema import parse
from tests.support.scripted_judge import fault_of, scripted_judge, verdict_of

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
    judge = {"endpoints": endpoints, "backoff": 0.01, "output": "schema", **judge}
    spec = {"weight": 2.0, "timeout": None, "kwargs": {"judge": judge}}
    return {"rewards": {"rubric": spec, "length": {"kwargs": {"max_length": 9, "buffer": 1}}}}


def score(settings, *answers, criteria=RUBRIC, turns=None):
    scorer = Scorer(parse(RewardsConfig, settings, "reward.rvpo"))
    samples = [
        Sample(answer, messages=MESSAGES, turns=row, extra_info={"rubric": criteria}, response_ids=[1])
        for answer, row in zip(answers, turns or [[]] * len(answers), strict=True)
    ]

    async def all_of_them():
        return await asyncio.gather(*map(scorer.score, samples))

    return asyncio.run(all_of_them())


def text(answer, row, messages=MESSAGES):
    return prompt.subject(messages, answer, 32_000) + prompt.question({"1": Criterion(**row)})


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


def test_of_several_turns_the_last_is_judged_and_what_tools_returned_is_context():
    turns = [
        {"role": "assistant", "content": "I look it up."},
        {"role": "tool", "content": "Honey helps."},
        {"role": "tool", "content": "(cut off)"},
    ]
    answers = [f"{number}. It does." for number in range(6)]
    rows = [[*turns[:2], {"role": "assistant", "content": answer}, turns[2]] for answer in answers]
    with scripted_judge() as server:
        vectors = score(config(server), *answers, criteria=RUBRIC[:1], turns=rows)
    expected = [
        float(verdict_of(text(answer, RUBRIC[0], [*MESSAGES, *turns[:2]]), "1", None)) for answer in answers
    ]
    assert len(set(expected)) == 2
    assert [vector.scores["rubric/Essential/1"] for vector in vectors] == expected


def test_a_failed_verdict_is_missing_and_the_others_stand():
    faults = {"server_error": 0.4}
    answers = [f"Honey {number}." for number in range(6)]
    with scripted_judge(faults=faults) as server:
        vectors = score(config(server, deadline=2), *answers)
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
        (vector,) = score(config(server), "Honey.", criteria=[{"criterion": "a", "polarity": 2}])
    assert vector.failures == {
        "rubric": "UserError: extra_info['rubric'][0]['polarity']: found 2; expected 1 (true is good) or -1 "
        "(true is bad)"
    }


def test_the_disagreement_of_votes_is_reported_by_category():
    with scripted_judge() as server:
        (vector,) = score(config(server, votes=2, temperature=1.0), "Honey.")
    assert disagreements([vector]) == {"rubric/Essential": 0.0, "rubric/Optional": 0.0, "rubric/Pitfall": 0.0}
    assert vector.disagreements.keys() == vector.of("rubric").keys()


# --- before a training ----------------------------------------------------------------------------------


def judged_by(*base_urls, **settings):
    """The reward's kwargs."""
    endpoints = [{"base_url": base_url, "model": "judge"} for base_url in base_urls]
    return {"judge": {"endpoints": endpoints or None, "backoff": 0.01, "output": "schema", **settings}}


def test_the_entry_point_is_a_reward_with_every_optional_method():
    found = resolve("rubric").function
    assert found is rubric
    for part_of_the_protocol in (Validates, Probes, RequiresColumns, CallsServices):
        assert isinstance(found, part_of_the_protocol)


def test_validation_asks_no_server():
    with scripted_judge() as server:
        rubric.validate(judged_by(server.base_url), RunContext())
        assert server.counts()["received"] == 0


def test_a_judge_that_answers_is_asked_once():
    with scripted_judge() as server:
        assert rubric.probe(judged_by(server.base_url), RunContext()) == []
        assert server.counts()["received"] == 1


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"key": "secret"}, "rejected: .* answered with HTTP 401: .*Incorrect API key"),
        ({"reply": "I would rather not."}, "malformed: .* wrote no verdict in 'I would rather not.'"),
    ],
)
def test_a_judge_without_a_verdict_is_an_error(script, message):
    with (
        scripted_judge(**script) as server,
        pytest.raises(ConfigError, match=f"(?s)the judge gives no verdict.*{message}"),
    ):
        rubric.probe(judged_by(server.base_url), RunContext())


def test_a_judge_that_is_down_is_an_error():
    with pytest.raises(ConfigError, match=r"connection: http://127.0.0.1:9/v1 \(judge\): "):
        rubric.probe(judged_by("http://127.0.0.1:9/v1", attempts=1), RunContext())


def test_one_of_several_endpoints_is_enough():
    with scripted_judge() as server:
        (warning,) = rubric.probe(
            judged_by("http://127.0.0.1:9/v1", server.base_url, attempts=1), RunContext()
        )
    assert "http://127.0.0.1:9/v1" in warning


def test_a_judge_can_be_probed_inside_an_event_loop():
    async def inside(server):
        return rubric.probe(judged_by(server.base_url), RunContext())

    with scripted_judge() as server:
        assert asyncio.run(inside(server)) == []


def test_the_judge_that_verl_serves_cannot_be_asked_yet():
    run = RunContext(serves_reward_model=True)
    rubric.validate(judged_by(), run)
    (warning,) = rubric.probe(judged_by(), run)
    assert "was not asked for a verdict yet" in warning


def test_without_a_judge_the_error_says_what_to_set():
    with pytest.raises(ConfigError, match=r"judge\.endpoints=.*or reward\.reward_model\.enable=True"):
        rubric.validate(judged_by(), RunContext())


def test_a_timeout_that_would_lose_verdicts_is_refused():
    with pytest.raises(ConfigError, match=r"timeout=60 would .*Set timeout: null"):
        rubric.validate(judged_by("http://127.0.0.1:9/v1"), RunContext(timeout=60))


def test_a_wrong_setting_is_refused_with_its_key():
    with pytest.raises(ConfigError, match=r"kwargs\.judge\.limt=3: unknown key.*did you mean 'limit'"):
        rubric.validate(judged_by("http://127.0.0.1:9/v1", limt=3), RunContext())


@pytest.mark.parametrize(
    ("settings", "calls"),
    [({}, 4), ({"calls": "response"}, 1), ({"votes": 3, "temperature": 1.0}, 12)],
)
def test_calls_per_response_are_those_that_are_made(settings, calls):
    with scripted_judge() as server:
        score(config(server, **settings), "Honey.")
        made = server.counts()["received"]
    assert (
        rubric.calls_per_response(judged_by(**settings), {"extra_info": {"rubric": RUBRIC}}) == calls == made
    )


def test_the_rubric_is_a_required_column():
    assert rubric.required_columns({}) == ("extra_info.rubric",)


def test_the_preset_lists_every_option_with_its_default():
    with initialize_config_module("verl.trainer.config", version_base=None):
        preset = compose("ppo_trainer", ["+rvpo=rubrics"])
    judge = OmegaConf.to_container(preset.reward.rvpo.rewards.rubric.kwargs.judge)
    assert judge["log"].pop("folder") == "${trainer.default_local_dir}"
    assert parse(JudgeConfig, judge, "judge") == JudgeConfig()
    assert judge.keys() == JudgeConfig.model_fields.keys()
    assert judge["log"].keys() | {"folder"} == CallLogConfig.model_fields.keys()
