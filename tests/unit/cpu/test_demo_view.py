import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from rvpo_verl.cli.demo_view import DemoProgress, print_result, verdict
from rvpo_verl.cpu.demo import DemoResult
from rvpo_verl.cpu.demo_scores import BOTH, Change


def change(name, difference, error):
    return Change(name, (0.25, 0.5), (0.0, 1.0), difference, error)


@pytest.mark.parametrize(
    ("difference", "error", "sentence"),
    [
        (0.3, 0.1, "x rose by 0.30 ± 0.10."),
        (-0.3, 0.1, "x fell by 0.30 ± 0.10."),
        (0.1, 0.1, "x did not move measurably (+0.10 ± 0.10)."),
        (0.0, 0.0, "x did not move measurably (+0.00 ± 0.00)."),
        (1.0, math.nan, "x did not move measurably (+1.00 ± nan)."),
    ],
)
def test_only_a_measurable_change_is_called_one(difference, error, sentence):
    assert verdict(change("x", difference, error)) == sentence


def test_without_a_terminal_a_stage_prints_a_line_for_each_twentieth():
    console = Console(file=io.StringIO(), width=100)
    with DemoProgress(console) as shown:
        for step in range(1, 101):
            shown.progress("Warming up", step, 100, {"loss": 1.0})
        shown.message("between")
        shown.progress("Training", 1, 2, {"k": 2.0})
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 21 + 1 + 1
    assert lines[0] == "Warming up 1/100  loss 1.00"
    assert lines[1].startswith("Warming up 5/100  ")
    assert lines[20:] == ["Warming up 100/100  loss 1.00", "between", "Training 1/2  k 2.00"]


def test_on_a_terminal_each_stage_is_a_bar_with_its_latest_figures():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with DemoProgress(console) as shown:
        shown.progress("Warming up", 100, 100, {"loss": 1.0})
        shown.message("between")
        shown.progress("Training", 1, 2, {"k": 1.0})
        shown.progress("Training", 2, 2, {"k": 2.0})
    end = console.file.getvalue().split("between")[-1]
    for part in ("100/100", "loss 1.00", "2/2", "k 2.00"):
        assert part in end


def test_the_result_shows_every_reward_and_every_file():
    console = Console(file=io.StringIO(), width=100)
    rewards = [change("a", 0.3, 0.1), change("b", 0.0, 0.1), change(BOTH, 0.3, 0.1)]
    result = DemoResult(
        rewards, 3, 10, 40, 5.04, Path("checkpoint"), Path("metrics.jsonl"), Path("launcher.log")
    )
    print_result(console, result)
    text = console.file.getvalue()
    for part in ("3 steps, 10 held-out prompts, 40 sampled answers", BOTH, "+0.30 ± 0.10", "a rose by 0.30",
                 "checkpoint", "metrics.jsonl", "launcher.log"):  # fmt: skip
        assert part in text
    assert f"{BOTH} rose" not in text
    assert "b did not move measurably" in text
