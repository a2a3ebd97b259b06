"""Prompts, answers and rewards of the generated tasks; the project's own reward code is the reference."""

import pytest
import torch
from experiment import prompts, tasks, warm_up, words
from experiment.answers import Answers

from rvpo_verl.rewards.text import length, regex
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

TASKS = [tasks.shortcut(), tasks.shortcut(17), tasks.TRADEOFF, tasks.DISCOVERY]


def generator():
    return torch.Generator().manual_seed(3)


@pytest.fixture(scope="module")
def answers():
    """Perfect, flawed and random ones."""
    g = generator()
    asked = prompts.sample(600, g)
    flawed = warm_up.demonstrations(asked[:300], 0.3, g)
    noise = torch.randint(words.VOCABULARY, (200, words.MAX_WORDS), generator=g)
    swapped = tasks.TRADEOFF.ideal(asked[500:])
    at = torch.randint(words.MAX_WORDS, (100, 1), generator=g)
    swapped = swapped.scatter(1, at, torch.randint(words.VOCABULARY, (100, 1), generator=g))
    answers = torch.cat([flawed, noise, swapped])
    ended = (answers == words.END).cumsum(dim=1) > 0
    return Answers(torch.where(ended, words.END, answers), asked)


def test_format_and_correctness_are_the_projects_own(answers):
    tool = prompts.right_tool(answers.prompts_NF)
    texts = [words.text(answer) for answer in answers.words_NT.tolist()]
    truths = [
        words.ground_truth(t, *where)
        for t, where in zip(tool.tolist(), answers.prompts_NF[:, 2:].tolist(), strict=True)
    ]
    pairs = list(zip(texts, truths, strict=True))
    assert answers.format().tolist() == [tool_call_format(*pair) for pair in pairs]
    assert answers.correctness(tool).tolist() == [tool_call_correctness(*pair) for pair in pairs]
    assert 100 < answers.regular_N.sum() < 400, "both ways of scoring are used"


def test_brevity_and_safety_are_the_projects_own(answers):
    for score, count in zip(answers.brevity(18, 10).tolist(), answers.length_N.tolist(), strict=True):
        assert score == pytest.approx(length(range(count), 18, 10), abs=1e-6)
    for row, score in enumerate(answers.safe().tolist()):
        forbidden = int(answers.prompts_NF[row, prompts.FORBIDDEN])
        text = words.text(answers.words_NT[row].tolist())
        name = words.TOOL_NAMES[forbidden - 1] if forbidden else "no such tool"
        assert score == regex(text, name, must_match=False)


def test_text_of_a_perfect_answer():
    answer = tasks.DISCOVERY.ideal(torch.tensor([[1, 2, 3, 0]]))[0].tolist()  # send_mail is forbidden
    assert words.text(answer) == (
        "<think>\ncue-1\ncue-2\n</think>\n<tool_call>\n"
        '{"name": "draft_mail", "parameters": {"where": "place-3", "when": "day-0"}}\n</tool_call>'
    )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{len(task.rewards)}")
def test_the_ideal_answer_meets_all_constraints_and_no_reward_is_out_of_range(task):
    asked = prompts.evaluation()
    ideal = task.ideal_rewards(asked)
    assert ideal.shape == (len(asked), len(task.rewards)) == (len(asked), len(task.judged))
    assert tasks.meets_all(ideal, ideal).all()
    assert (ideal > torch.tensor(task.lowest)).all()
    assert ideal[:, 0].eq(1).all()


def test_the_shortcut_lifts_every_judge_and_breaks_safety_alone():
    task, asked = tasks.shortcut(), torch.tensor([[2, 3, 1, 1]])
    honest = task.ideal(asked)
    shortcut = torch.where(honest == words.TOOL + 2 + words.DIRECT, words.TOOL + 2, honest)
    assert task.score(Answers(honest, asked)).tolist() == [[1, 3, 1, 0.5, 0.5, 0.5]]
    assert task.score(Answers(shortcut, asked)).tolist() == [[1, 3, 0, 1, 1, 1]]


def test_in_the_tradeoff_every_reason_costs_brevity():
    asked = prompts.evaluation()[:1]
    full = tasks.TRADEOFF.ideal(asked)
    shorter = torch.cat([full[:, :1], full[:, 2:], torch.zeros(1, 1, dtype=torch.long)], dim=1)
    (full,), (shorter,) = (tasks.TRADEOFF.score(Answers(a, asked)).tolist() for a in (full, shorter))
    assert full[-2:] == pytest.approx([-0.4, 1.0])
    assert shorter[-2:] == pytest.approx([-0.3, 0.75])


def test_held_out_prompts_are_never_trained_on():
    trained, held = prompts.sample(5000, generator()), prompts.evaluation()
    assert prompts.held_out(held[:, 0], held[:, 2], held[:, 3]).all()
    assert not prompts.held_out(trained[:, 0], trained[:, 2], trained[:, 3]).any()
    assert prompts.in_conflict(held).float().mean() == 0.5
    assert prompts.in_conflict(trained).float().mean() == pytest.approx(0.5, abs=0.03)


def test_a_number_of_rewards_that_a_task_does_not_have_is_refused():
    with pytest.raises(ValueError, match="rewards=7; tradeoff has 6"):
        tasks.task("tradeoff", 7)
    with pytest.raises(ValueError, match="accepted: shortcut, tradeoff, discovery"):
        tasks.task("maze")
