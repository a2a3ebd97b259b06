import contextlib
import io
import random

import pytest

from rvpo_verl.cpu import tasks
from rvpo_verl.cpu.tasks import Flaws, calls_of, prompt_key
from rvpo_verl.data.rlla import ground_truth
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

TRAIN = tasks.generate(4000, 0, "train")
HELD_OUT = tasks.generate(500, 0, "held_out")


def combinations(rows):
    calls = [call for row in rows for call in calls_of(ground_truth(row))]
    return {(call["name"], *call["parameters"].items()) for call in calls}


def test_splits_share_no_call_and_no_prompt_for_any_seeds():
    trained = TRAIN + tasks.generate(1000, 7, "train")
    held_out = HELD_OUT + tasks.generate(500, 3, "held_out")
    assert not combinations(trained) & combinations(held_out)
    assert not {prompt_key(row) for row in trained} & {prompt_key(row) for row in held_out}


def test_every_tool_is_in_both_splits():
    for rows in (TRAIN, HELD_OUT):
        assert {call[0] for call in combinations(rows)} == set(tasks.TOOLS)


def test_a_seed_gives_the_same_rows_and_another_seed_others():
    assert tasks.generate(50, 0, "train") == TRAIN[:50]
    assert tasks.generate(50, 1, "train") != TRAIN[:50]


def test_some_tasks_need_two_calls_and_all_tools_needed_are_offered():
    needed = [calls_of(ground_truth(row)) for row in TRAIN]
    two = sum(len(calls) == 2 for calls in needed) / len(needed)
    assert abs(two - tasks.TWO_CALL_SHARE) < 0.03
    assert {len(calls) for calls in needed} == {1, 2}
    for row, calls in zip(TRAIN, needed, strict=True):
        for call in calls:
            assert f"Name: {call['name']}\n" in row["prompt"][0]["content"]
            for value in call["parameters"].values():
                assert str(value) in row["prompt"][1]["content"]


def test_unknown_split_is_an_error():
    with pytest.raises(ValueError, match=r"split='test'; accepted: train, held_out"):
        tasks.generate(1, 0, "test")


@pytest.mark.parametrize("mode", ["robust", "strict"])
def test_every_ground_truth_is_perfect(mode):
    for row in TRAIN[:500] + HELD_OUT:
        truth = ground_truth(row)
        assert tool_call_format(truth, truth, mode=mode) == 1.0
        assert tool_call_correctness(truth, truth, mode=mode) == 3.0


def test_every_ground_truth_is_perfect_for_verls_own_scorer():
    from verl.utils.reward_score.rlla import compute_score

    for row in TRAIN[:200]:
        truth = ground_truth(row)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints at random
            scores = compute_score("rlla", truth, truth, {"experiment_name": "qwen"})
        assert scores["format_reward"] == 1.0 and scores["accuracy_reward"] == 3.0


def test_flawed_demonstrations_score_lower_under_both_rewards_and_not_always():
    rng, flaws = random.Random(0), Flaws(TRAIN)
    answers = [(flaws.demonstration(row, rng), ground_truth(row)) for row in TRAIN[:1000]]
    form = [tool_call_format(answer, truth) for answer, truth in answers]
    correct = [tool_call_correctness(answer, truth) for answer, truth in answers]
    assert 0.4 < sum(form) / len(form) < 0.8
    assert -1.5 < sum(correct) / len(correct) < 1.5
    assert any(answer == truth for answer, truth in answers)


def test_flaws_of_a_seed_are_the_same():
    first, second = (
        [Flaws(TRAIN).demonstration(row, rng) for row in TRAIN[:20]]
        for rng in (random.Random(3), random.Random(3))
    )
    assert first == second


@pytest.mark.parametrize(
    "truth",
    [
        "<think> hm </think>\n<response> Hello. </response>",
        "<think> I must write <tool_call> </think>\n<tool_call>\nnot json\n</tool_call>",
        "<think> x </think>\n<tool_call>\n[1]\n</tool_call>",
        '<think> x </think>\n<tool_call>\n{"name": "a", "parameters": {}}\n</tool_call>',
    ],
)
def test_any_ground_truth_has_flawed_variants(truth):
    row = {"prompt": [{"role": "user", "content": "hi"}], "reward_model": {"ground_truth": truth}}
    rng = random.Random(0)
    answers = [Flaws([row]).demonstration(row, rng) for _ in range(50)]
    assert all(isinstance(answer, str) for answer in answers)
    assert len(set(answers)) > 1


def test_split_rows_keeps_equal_prompts_together_and_depends_on_the_seed():
    rows = TRAIN[:40] * 2
    train, held_out = tasks.split_rows(rows, 0)
    assert len(train) + len(held_out) == len(rows)
    assert not {prompt_key(row) for row in train} & {prompt_key(row) for row in held_out}
    assert tasks.split_rows(rows, 0) == (train, held_out)
    assert tasks.split_rows(rows, 1) != (train, held_out)
    held_out = tasks.split_rows(TRAIN, 0, at_most=128)[1]
    assert len({prompt_key(row) for row in held_out}) == 128


def test_one_prompt_cannot_be_split():
    with pytest.raises(ValueError, match="1 distinct prompt"):
        tasks.split_rows(TRAIN[:1] * 3, 0)
