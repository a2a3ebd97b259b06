"""A response of several turns on its way from verl's agent loop to the rewards: what a tool returned earns nothing."""

import asyncio
import inspect
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl.experimental.agent_loop import agent_loop
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput, AgentLoopWorker
from verl.experimental.agent_loop.tool_parser import ToolParser
from verl.trainer.ppo.reward import load_reward_manager

from rvpo_verl.attach import sample
from rvpo_verl.attach.reserved import names_of_verl
from rvpo_verl.cpu.policy import build_tokenizer

CALL = '<tool_call>\n{"name": "get_weather", "parameters": {"city": "Paris"}}\n</tool_call>'
TRUTH = f"<think> I need it. </think>\n{CALL}"
FINAL = "<think> I know it. </think>\n<response> Sunny </response>"

pytestmark = pytest.mark.skipif(
    "outputs" not in inspect.signature(inspect.unwrap(AgentLoopWorker._compute_score)).parameters,
    reason="verl before 0.8 hands the padded tensors of one output over",
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer([TRUTH, FINAL], merges=40)


def wrote(text):
    return 1, f"{text}<|im_end|>"


def received(text):
    return 0, f"\n<|im_start|>tool\n{text}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def scored(tokenizer):
    """The sum of the scores that `rewards` give to a rollout of `turns`, through verl's agent loop worker."""

    def scored(rewards, *turns, extra_info=None, extra_fields=None):
        config = {
            "reward": {
                "num_workers": 1,
                "custom_reward_function": {"path": None, "name": "compute_score"},
                "reward_manager": {"source": "register", "name": "rvpo"},
                "rvpo": {"rewards": rewards},
            }
        }
        manager = load_reward_manager(OmegaConf.create(config), tokenizer)
        worker = object.__new__(AgentLoopWorker)
        worker.processor = worker.mm_processor_kwargs = None
        worker.config = OmegaConf.create(config)
        worker.reward_loop_worker_handles = [
            SimpleNamespace(compute_score=SimpleNamespace(remote=manager.run_single))
        ]
        tokens = [(mask, token) for mask, text in turns for token in tokenizer.encode(text)]
        output = AgentLoopOutput(
            prompt_ids=tokenizer.encode("Weather in Paris?"),
            response_ids=[token for _, token in tokens],
            response_mask=[mask for mask, _ in tokens],
            num_turns=len(turns) + 1,
            metrics=AgentLoopMetrics(),
            extra_fields={"turn_scores": [], "tool_rewards": [], **(extra_fields or {})},
        )
        row = {
            "raw_prompt": [{"role": "user", "content": "Weather in Paris?"}],
            "data_source": "rlla",
            "reward_model": {"ground_truth": TRUTH},
            "extra_info": extra_info or {},
        }
        asyncio.run(worker._compute_score([output], kwargs=row))
        return output.reward_score

    return scored


TOLD = wrote("look it up"), received(TRUTH), wrote("")
ASKED = wrote(TRUTH), received("Sunny"), wrote(FINAL)


@pytest.mark.parametrize(
    ("name", "kwargs", "of_told", "of_asked"),
    [
        ("tool_call_correctness", {}, -3.0, 3.0),
        ("tool_call_format", {}, 0.0, 1.0),
        ("regex", {"pattern": "get_weather"}, 0.0, 1.0),
        ("regex", {"pattern": "tool\n|assistant"}, 0.0, 0.0),
        ("length", {"max_length": 30, "buffer": 1}, 0.0, -1.0),
    ],
)
def test_built_in_rewards_read_what_the_model_wrote(scored, name, kwargs, of_told, of_asked):
    rewards = {name: {"kwargs": kwargs}}
    assert scored(rewards, *TOLD) == of_told
    assert scored(rewards, *ASKED) == of_asked


def test_a_single_turn_is_scored_as_before(scored):
    assert scored({"tool_call_correctness": {}}, wrote(TRUTH)) == 3.0
    assert scored({"tool_call_format": {}}, wrote(TRUTH)) == 1.0


@pytest.mark.parametrize(
    ("turns", "value"),
    [
        ((wrote(TRUTH), received("x"), wrote("Sunny")), 0.0),  # the last turn has no form
        ((wrote(FINAL), received("x"), wrote(FINAL)), 0.0),  # no call, and the ground truth has one
        ((wrote(TRUTH), received("x"), wrote(TRUTH), received("x"), wrote(FINAL)), 1.0),
    ],
)
def test_every_turn_keeps_the_format(scored, turns, value):
    assert scored({"tool_call_format": {}}, *turns) == value


def test_calls_of_all_turns_count_together(scored):
    other = TRUTH.replace("Paris", "Rome")
    both = wrote(other), received("x"), wrote(TRUTH), received("x"), wrote(FINAL)
    # One of two calls is right: J(names) = 1/2 instead of 1, and half of S = 1/2 + [1 + 1], of S_max = 3.
    assert scored({"tool_call_correctness": {}}, *both) == pytest.approx(6 * (2.5 / 2) / 3 - 3)


SEES = """
SEEN = []

def sees(response, turns, last_turn, response_ids, response_mask, tool_rewards, turn_scores, extra_info):
    SEEN.append(dict(locals()))
    return 0.0
"""


@pytest.fixture
def seen(scored, tmp_path):
    from rvpo_verl.rewards.registry import resolve

    (tmp_path / "sees.py").write_text(SEES)

    def seen(*turns, **given):
        function = f"{tmp_path / 'sees.py'}:sees"
        scored({"sees": {"function": function}}, *turns, **given)
        return resolve(function).function.__globals__["SEEN"][-1]

    return seen


def test_rewards_get_the_turns_apart(seen, tokenizer):
    got = seen(*ASKED)
    assert got["turns"] == [
        {"role": "assistant", "content": TRUTH},
        {"role": "tool", "content": "tool\nSunny\nassistant"},
        {"role": "assistant", "content": FINAL},
    ]
    assert got["response"] == f"{TRUTH}\n{FINAL}"
    assert got["last_turn"] == FINAL
    by_model = [token for token, mask in zip(got["response_ids"], got["response_mask"], strict=True) if mask]
    assert tokenizer.decode(by_model) == f"{TRUTH}<|im_end|>{FINAL}<|im_end|>"
    assert seen(wrote("Sunny"))["turns"] == [{"role": "assistant", "content": "Sunny"}]


def test_rewards_of_tools_are_rewards_by_name(scored, seen):
    given = {"extra_fields": {"tool_rewards": [0.0, np.float64(1.0)], "turn_scores": [3, None]}}
    got = seen(*ASKED, **given)
    assert (got["tool_rewards"], got["turn_scores"]) == ([0.0, 1.0], [3.0])
    assert scored({"tool_reward": {}}, *ASKED, **given) == 0.5
    assert scored({"tool_reward": {"kwargs": {"reduce": "last"}}, "turn_score": {}}, *ASKED, **given) == 4.0
    assert scored({"tool_reward": {}}, wrote(TRUTH)) == 0.0  # missing: no tool was called


def test_a_tool_does_not_replace_what_the_row_says(seen, caplog, monkeypatch):
    monkeypatch.setattr(sample, "_REPORTED", set())
    with caplog.at_level(logging.WARNING, "rvpo_verl"):
        for _ in range(2):
            got = seen(*ASKED, extra_info={"answer": 4, "index": 1}, extra_fields={"answer": 5, "tries": 2})
    assert (got["extra_info"]["answer"], got["extra_info"]["tries"]) == (4, 2)
    assert got["extra_info"]["num_turns"] == 4
    (record,) = caplog.records
    assert "extra_info['answer'] is set by the data and by the rollout" in record.message


def test_numbers_are_pythons(seen):
    numbers = {"index": np.int64(3), "limits": np.array([1.5, 2]), "nested": [{"of": np.bool_(True)}]}
    got = seen(wrote("x"), extra_info=numbers)["extra_info"]
    assert json.loads(json.dumps(got)) == got
    assert (got["index"], got["limits"], got["nested"]) == (3, [1.5, 2.0], [{"of": True}])


def test_the_real_worker_has_the_attachment():
    assert agent_loop.AgentLoopWorker._compute_score._wrapped_by_rvpo


def test_the_names_that_verl_puts_beside_the_rewards_are_found_in_it():
    """Those of a batch that verl's worker makes of two rollouts, by running it."""
    worker = object.__new__(AgentLoopWorker)
    worker.reward_loop_worker_handles = [None]
    rows = {"input_ids": 4, "prompt_ids": 2, "response_ids": 2, "response_mask": 2, "attention_mask": 4}
    output = agent_loop._InternalAgentLoopOutput(
        **{name: torch.ones(1, length, dtype=torch.long) for name, length in rows.items()},
        position_ids=torch.arange(4)[None],
        response_logprobs=torch.zeros(1, 2),
        reward_score=1.0,
        num_turns=2,
        metrics=AgentLoopMetrics(),
        extra_fields={"reward_extra_info": {"mine": 1.0}, "raw_prompt": []},
    )
    batch = worker._postprocess([output, output])
    keys = set(batch.batch.keys()) | set(batch.non_tensor_batch)
    assert "turn_scores" in keys
    assert keys - {"mine"} <= names_of_verl()
    assert not {"correct", "format", "length", "compute_score", "mine"} & names_of_verl()


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (TRUTH, [("get_weather", {"city": "Paris"})]),
        (f"<think> {CALL} </think> no", []),
        (TRUTH.replace("</tool_call>", ""), []),
        (f"{TRUTH}{CALL}", [("get_weather", {"city": "Paris"})] * 2),
        (TRUTH.replace("parameters", "arguments"), [("get_weather", {"city": "Paris"})]),
        (FINAL, []),
    ],
)
def test_verls_agent_loops_read_rllas_format(tokenizer, text, calls):
    parser = ToolParser.get_tool_parser("rlla", tokenizer)
    content, found = asyncio.run(parser.extract_tool_calls(tokenizer.encode(f"{text}<|im_end|>")))
    assert [(call.name, json.loads(call.arguments)) for call in found] == calls
    assert ("get_weather" in content) == (not calls and "get_weather" in text)
