"""The manager as verl's reward workers build and call it, on batches as verl's agent loops make them."""

import asyncio
import gc
import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
from verl.trainer.ppo.metric_utils import process_validation_metrics
from verl.trainer.ppo.reward import load_reward_manager

from rvpo_verl.attach.group_filter import add_digest
from rvpo_verl.attach.manager import ABSENT
from rvpo_verl.config import RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.failures import RewardFailureError, failure_shares
from rvpo_verl.rewards.registry import resolve
from rvpo_verl.rewards.vector import KEY, RewardVector
from rvpo_verl.schema import parse

WORDS = ["<pad>", "<eos>", "<unk>", "the", "answer", "is", "four", "five", "please", "count"]
REWARDS = """
import asyncio, time

def correct(response, ground_truth):
    return ground_truth in response

def sees(response, messages, ground_truth, data_source, extra_info, response_ids, tokenizer,
         global_step, validate, reward_router_address, reward_model_tokenizer, reward_workers):
    SEEN.append(dict(locals()))
    return len(response_ids)

SEEN = []

async def judge(response):
    await asyncio.sleep(0.01)
    return {"helpful": 0.5, "harmless": 1.0}

def rubric(response):
    return {word: word in response for word in ("four", "please")} if "four" in response else None

def fails(response):
    raise LookupError("no such row")

def slow(response):
    time.sleep(0.5)

def not_a_number(response):
    return float("nan")
"""


@pytest.fixture(scope="module")
def tokenizer():
    model = models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>")
    plain = Tokenizer(model)
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my_rewards.py").write_text(REWARDS)
    return tmp_path / "my_rewards.py"


@pytest.fixture
def manager(file, tokenizer):
    def build(rewards, name="rvpo", **served):
        rewards = {key: {"function": f"{file}:{key}", **(spec or {})} for key, spec in rewards.items()}
        config = OmegaConf.create(
            {
                "reward": {
                    "num_workers": 3,
                    "custom_reward_function": {"path": None, "name": "compute_score"},
                    "reward_manager": {"source": "register", "name": name},
                    "rvpo": {"rewards": rewards},
                }
            }
        )
        return load_reward_manager(config, tokenizer, **served)

    return build


def session(tokenizer, *responses, prompts=None, **columns):
    """One agent session with an output for each response, as `AgentLoopWorker._compute_score` sends it."""
    prompts = prompts or ["count please"] * len(responses)
    ids = [
        [torch.tensor(tokenizer.encode(text)) for text in pair]
        for pair in zip(prompts, responses, strict=True)
    ]
    pad = torch.nn.utils.rnn.pad_sequence
    batch = {
        "prompts": pad([prompt for prompt, _ in ids], batch_first=True),
        "responses": pad([response for _, response in ids], batch_first=True),
        "attention_mask": pad(
            [torch.ones(len(torch.cat(pair)), dtype=torch.int64) for pair in ids], batch_first=True
        ),
    }
    row = {
        "raw_prompt": [{"role": "system", "content": "You count."}, {"role": "user", "content": prompts[-1]}],
        "data_source": "counting",
        "reward_model": {"ground_truth": "four", "style": "rule"},
        "extra_info": {"index": 7},
        **columns,
    }
    rows = len(responses)
    return DataProto(
        batch=TensorDict(batch, batch_size=rows),
        non_tensor_batch={
            **{name: np.array([value] * rows) for name, value in row.items()},
            "__num_turns__": np.array([2] * rows),
            "tool_extra_fields": np.array([{"turn_scores": [1.0]}] * rows, dtype=object),
            "response_len": np.array([len(response) for _, response in ids]),
        },
    )


def run(manager, data):
    return asyncio.run(manager.run_single(data))


def test_the_score_is_the_weighted_sum_and_every_reward_shows(manager, tokenizer):
    rewards = {
        "correct": {"weight": 2.0},
        "judge": {"outputs": {"helpful": 1.0, "harmless": 0.5}},
        "rubric": {},
    }
    result = run(manager(rewards), session(tokenizer, "the answer is four <eos>"))
    info = result["reward_extra_info"]
    vector = RewardVector.loads(info.pop(KEY))
    assert vector.scores == {
        "correct": 1.0,
        "helpful": 0.5,
        "harmless": 1.0,
        "rubric/four": 1.0,
        "rubric/please": 0.0,
    }
    assert result["reward_score"] == 2.0 * 1 + 0.5 + 0.5 * 1.0 + (1.0 + 0.0) / 2
    assert info == {"correct": 1.0, "helpful": 0.5, "harmless": 1.0, "rubric": 0.5, "rvpo_failed": 0.0}


def test_a_reward_sees_what_verl_knows_of_the_response(manager, tokenizer, file):
    served = {"reward_router_address": "localhost:1", "reward_model_tokenizer": "its tokenizer"}
    built = manager({"sees": {}}, **served)
    data = session(tokenizer, "the answer is four <eos>", rvpo_global_step=7, rvpo_validate=False)
    run(built, data)
    (seen,) = resolve(f"{file}:sees").function.__globals__["SEEN"]
    assert seen == {
        "response": "the answer is four",
        "messages": [
            {"role": "system", "content": "You count."},
            {"role": "user", "content": "count please"},
        ],
        "ground_truth": "four",
        "data_source": "counting",
        "extra_info": {"index": 7, "turn_scores": [1.0], "num_turns": 2, "rollout_reward_scores": {}},
        "response_ids": tokenizer.encode("the answer is four <eos>"),
        "tokenizer": tokenizer,
        **served,
        "global_step": 7,
        "validate": False,
        "reward_workers": 3,
    }
    assert type(seen["messages"]) is list
    assert type(seen["data_source"]) is str
    assert data.non_tensor_batch["extra_info"][0] == {"index": 7}, "the row itself is as before"


def test_padding_after_the_response_is_no_part_of_it(manager, tokenizer):
    data = session(tokenizer, "the answer is four <eos>")
    padded = {
        "prompts": data.batch["prompts"],
        "responses": torch.nn.functional.pad(data.batch["responses"], (0, 6)),
        "attention_mask": torch.nn.functional.pad(data.batch["attention_mask"], (0, 6)),
    }
    data = DataProto(TensorDict(padded, batch_size=1), data.non_tensor_batch)
    del data.non_tensor_batch["response_len"]  # verl before 0.8
    assert run(manager({"sees": {}}), data)["reward_score"] == 5


def test_a_session_is_scored_by_its_last_output_of_its_own_length(manager, tokenizer):
    responses = "the answer is five " * 6, "four"
    data = session(tokenizer, *responses, prompts=["count", "count please " * 20])
    result = run(manager({"correct": {}, "sees": {}}), data)
    assert result["reward_extra_info"]["correct"] == 1.0
    assert result["reward_extra_info"]["sees"] == 1.0


def test_rows_without_optional_columns_are_scored(manager, tokenizer):
    data = session(tokenizer, "four")
    for column in ("raw_prompt", "data_source", "extra_info", "tool_extra_fields", "__num_turns__"):
        del data.non_tensor_batch[column]
    assert run(manager({"correct": {}, "sees": {}}), data)["reward_score"] == 2.0


def test_rewards_that_fail_are_missing_and_change_no_keys(manager, tokenizer):
    rewards = {"correct": {}, "fails": {}, "slow": {"timeout": 0.05}, "not_a_number": {}, "rubric": {}}
    built = manager(rewards)
    first = run(built, session(tokenizer, "the answer is four"))
    second = run(built, session(tokenizer, "the answer is five"))
    assert (
        list(first["reward_extra_info"])
        == list(second["reward_extra_info"])
        == [
            KEY,
            *rewards,
            "rvpo_failed",
        ]
    )
    # Two of five rewards are there: a missing one counts as much as they do on average.
    assert first["reward_score"] == (1.0 + 0.5) * 5 / 2
    assert first["reward_extra_info"]["rvpo_failed"] == 3.0
    assert second["reward_score"] == 0.0
    for result in (first, second):
        assert [result["reward_extra_info"][name] for name in ("fails", "slow", "not_a_number")] == [
            ABSENT
        ] * 3
        vector = RewardVector.loads(result["reward_extra_info"][KEY])
        assert {name: cause.split(":")[0] for name, cause in vector.failures.items()} == {
            "fails": "LookupError",
            "slow": "TimeoutError",
            "not_a_number": "ValueError",
        }


def test_failures_reach_the_share_that_stops_training(manager, tokenizer):
    info = run(manager({"correct": {}, "fails": {}}), session(tokenizer, "four"))["reward_extra_info"]
    config = parse(RewardsConfig, {"rewards": {"correct": None, "fails": None}}, "reward.rvpo")
    with pytest.raises(RewardFailureError, match="LookupError: no such row"):
        failure_shares([RewardVector.loads(info[KEY])], config)


@pytest.mark.skipif(ABSENT is not None, reason="verl before 0.9 averages over what is missing")
def test_missing_rewards_stay_out_of_validation_averages(manager, tokenizer):
    built = manager({"correct": {"data_sources": ["counting"]}, "rubric": {}, "fails": {}})
    responses = ["the answer is four", "four please", "five"]
    infos = [run(built, session(tokenizer, text))["reward_extra_info"] for text in responses]
    infos.append(run(built, session(tokenizer, "four", data_source="other"))["reward_extra_info"])
    columns = {key: np.array([info[key] for info in infos]).tolist() for key in infos[0]}  # as V0 does
    metrics = process_validation_metrics(["counting"] * 3 + ["other"], ["a", "a", "b", "c"], columns)
    assert metrics["counting"]["rubric"]["mean@2"] == pytest.approx(0.75)
    assert metrics["counting"]["correct"]["mean@1"] == 0.0
    assert "correct" not in metrics["other"]
    assert all("fails" not in by_name and KEY not in by_name for by_name in metrics.values())
    assert not any(
        math.isnan(value)
        for by_name in metrics.values()
        for found in by_name.values()
        for value in found.values()
    )


@pytest.mark.skipif(ABSENT is None, reason="verl from 0.9 on leaves out what is missing")
def test_missing_rewards_do_not_stop_validation(manager, tokenizer):
    built = manager({"correct": {}, "rubric": {}})
    infos = [run(built, session(tokenizer, text))["reward_extra_info"] for text in ("four", "five")]
    columns = {key: np.array([info[key] for info in infos]).tolist() for key in infos[0]}
    metrics = process_validation_metrics(["counting"] * 2, ["a", "b"], columns)
    assert metrics["counting"]["correct"]["mean@1"] == 0.5
    assert math.isnan(metrics["counting"]["rubric"]["mean@1"])


def test_responses_are_scored_at_the_same_time(manager, tokenizer):
    built = manager({"slow": {}, "correct": {}})

    async def batch():
        return await asyncio.gather(*(built.run_single(session(tokenizer, "four")) for _ in range(8)))

    async def timed():
        loop = asyncio.get_running_loop()
        started = loop.time()
        return await batch(), loop.time() - started

    results, seconds = asyncio.run(timed())
    assert [result["reward_score"] for result in results] == [2.0] * 8  # `slow` returns None: missing
    assert seconds < 2  # 4 s one after another


def test_the_manager_by_another_name_says_how_to_ask_for_it(tokenizer):
    config = OmegaConf.create({"reward": {"reward_manager": {"name": "RvpoRewardManager"}}})
    with pytest.raises(ConfigError, match=r"Set reward\.reward_manager\.name=rvpo"):
        get_reward_manager_cls("rvpo")(config=config, tokenizer=tokenizer, compute_score=None)


def test_a_reward_for_other_data_is_no_part_of_the_score(manager, tokenizer):
    built = manager({"correct": {"weight": 2.0}, "sees": {"data_sources": ["elsewhere"]}})
    assert run(built, session(tokenizer, "four"))["reward_score"] == 2.0


def test_a_scheduled_weight_is_the_last_one_in_the_score_and_one_in_the_vector(manager, tokenizer):
    """So that scores of two steps can be compared, and the estimator multiplies by the schedule."""
    falls = {"schedule": "linear", "from": 2.0, "to": 0.5}
    result = run(manager({"correct": {"weight": falls}, "sees": {}}), session(tokenizer, "four"))
    assert result["reward_score"] == 0.5 * 1.0 + 1.0
    assert RewardVector.loads(result["reward_extra_info"][KEY]).weights == {}


def test_a_condition_reaches_the_score_and_the_vector(manager, tokenizer):
    rewards = {"correct": {}, "sees": {"only_if": {"correct": 1.0}, "otherwise": -2.0}}
    result = run(manager(rewards), session(tokenizer, "the answer is five"))
    assert RewardVector.loads(result["reward_extra_info"][KEY]).scores == {"correct": 0.0, "sees": -2.0}
    assert result["reward_score"] == result["reward_extra_info"]["sees"] == -2.0


def test_what_verl_does_not_know_of_a_rollout_is_none(manager, tokenizer, file):
    run(manager({"sees": {}}), session(tokenizer, "four", rvpo_global_step=-1))
    seen = resolve(f"{file}:sees").function.__globals__["SEEN"][-1]
    assert seen["global_step"] is None and seen["validate"] is None


def test_garbage_collections_leave_out_what_the_reward_worker_imported(manager):
    manager({"correct": {}})
    assert gc.get_freeze_count() > 100_000


def test_validation_has_no_average_of_digests(manager, tokenizer):
    info = run(manager({"correct": {}}), session(tokenizer, "four"))["reward_extra_info"]
    add_digest(
        info, OmegaConf.create({"algorithm": {"filter_groups": {"enable": True, "metric": "rvpo_vector"}}})
    )
    assert "rvpo_vector" in info
    metrics = process_validation_metrics(
        ["data"] * 2, ["row"] * 2, {key: [value] * 2 for key, value in info.items()}
    )
    assert set(metrics["data"]) == {"correct", "rvpo_failed"}
