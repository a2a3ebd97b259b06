"""What the advantage step costs, in operations: a loop over responses, groups, rewards or families shows here."""

import json
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rvpo_verl.attach.adapter import Adapter, Rows
from rvpo_verl.rewards.tool_calling.parser import MAX_BRACKETS, UnparsableError, parse_calls, read_json
from rvpo_verl.rewards.vector import KEY, RewardVector


class Operations(TorchDispatchMode):
    """Counts what reaches torch, and keeps what it makes that is as large as the tokens of the batch."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.token_sized = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.count += 1
        of_tokens = isinstance(result, torch.Tensor) and result.dim() == 2 and result.shape[1] == TOKENS
        if of_tokens and not any(result.data_ptr() == there.data_ptr() for there in self.token_sized):
            self.token_sized.append(result)
        return result


TOKENS = 777  # no other dimension


def estimate(responses, rewards, group_size, aggregation="softmin"):
    """Operations of one call of the estimator."""
    rng = np.random.default_rng(0)
    names = [f"reward_{index}" for index in range(rewards)]
    vectors = [
        RewardVector(dict(zip(names, row, strict=True)))
        for row in rng.integers(0, 2, (responses, rewards)).astype(float).tolist()
    ]
    vectors[0].scores["reward_0"] = None
    mask_BT = torch.ones(responses, TOKENS, dtype=torch.int64)
    rows = Rows({KEY: [vector.dumps() for vector in vectors]}, step=1, total_steps=1)
    adapter = Adapter({"rvpo": {"aggregation": aggregation}})
    with Operations() as operations:
        adapter.advantages(rows, mask_BT, np.arange(responses) // group_size, torch.device("cpu"))
    return operations


@pytest.mark.parametrize("aggregation", ["softmin", "mean", "min", "variance"])
def test_the_number_of_operations_depends_on_no_size_of_the_batch(aggregation):
    smallest = estimate(16, 2, 4, aggregation).count
    assert smallest > 10
    assert estimate(64, 2, 4, aggregation).count == smallest
    assert estimate(64, 2, 16, aggregation).count == smallest
    assert estimate(64, 17, 4, aggregation).count == smallest


def test_the_result_is_the_only_tensor_as_large_as_the_tokens():
    assert len(estimate(16, 3, 4).token_sized) == 1


def test_python_calls_grow_no_faster_than_the_batch():
    def calls(responses):
        count = 0

        def profile(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            estimate(responses, 5, 4)
        finally:
            sys.setprofile(None)
        return count

    calls(8)  # imports
    small, medium, large = calls(256), calls(512), calls(1024)
    assert large - medium == pytest.approx(2 * (medium - small), rel=0.1)


@pytest.mark.parametrize("bracket", ["[", "{"])
def test_a_text_of_brackets_is_refused_before_it_is_read(bracket, monkeypatch):
    read = []
    monkeypatch.setattr("rvpo_verl.rewards.tool_calling.parser._scan", lambda *at: read.append(at))
    text = bracket * (MAX_BRACKETS + 1)
    with pytest.raises(UnparsableError, match="brackets"):
        parse_calls(f"<tool_call>{text}</tool_call>")
    with pytest.raises(UnparsableError, match="brackets"):
        read_json(text)
    assert not read


def test_as_many_brackets_as_accepted_are_read():
    assert len(read_json(json.dumps([[]] * (MAX_BRACKETS - 1)))) == MAX_BRACKETS - 1
