import json

import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.errors import UserError
from rvpo_verl.report.best import best_step


def write(path, steps):
    """`steps`: {step: (easy, hard)}; verl's score weighs them alike."""
    lines = [
        {
            "step": step,
            "data": {
                "val-aux/tasks/easy/mean@1": easy,
                "val-aux/tasks/hard/mean@1": hard,
                "val-core/tasks/reward/mean@1": easy + hard,
                "actor/lr": 1e-6,
            },
        }
        for step, (easy, hard) in steps.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def neglecting(tmp_path):
    """`easy` ranges over 0..10, `hard` over 0..1, and the run trades hard for easy."""
    return write(tmp_path / "run.jsonl", {0: (0, 0), 10: (5, 1.0), 20: (8, 0.6), 30: (10, 0.1)})


def test_the_sum_prefers_a_step_that_neglects_a_reward_and_the_lowest_does_not(neglecting):
    best = best_step([neglecting])
    assert best.by_sum.step == 30
    # Scaled to their ranges: (0, 0), (.5, 1), (.8, .6), (1, .1).
    assert best.by_lowest.step == 20
    assert (best.by_lowest.lowest, best.by_lowest.lowest_name) == (0.6, "hard")


def test_a_constant_reward_does_not_decide(tmp_path):
    log = write(tmp_path / "run.jsonl", {1: (1, 0.5), 2: (3, 0.5), 3: (2, 0.5)})
    assert best_step([log]).by_lowest.step == 2


def test_only_steps_with_a_checkpoint_are_chosen(neglecting):
    assert best_step([neglecting], steps={10, 30}).by_lowest.step == 10
    with pytest.raises(UserError, match=r"rewards at \[0, 10, 20, 30\], checkpoints at \[15\]"):
        best_step([neglecting], steps={15})


def test_a_resumed_run_replaces_the_steps_it_repeats(tmp_path, neglecting):
    again = write(tmp_path / "again.jsonl", {20: (2, 0.0), 30: (3, 0.1)})
    assert best_step([neglecting, again]).by_lowest.step == 10


def test_without_validation_the_training_rewards_decide(tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text(
        "".join(
            json.dumps({"step": step, "data": {"rvpo/a/mean": a, "rvpo/b/mean": b}}) + "\n"
            for step, (a, b) in enumerate([(0, 1), (1.2, 0), (0.6, 0.4)])
        )
    )
    best = best_step([log])
    assert (best.by_lowest.step, best.by_sum.step) == (2, 1)


def test_the_command_links_the_checkpoints(tmp_path, neglecting):
    for step in (10, 20, 30):
        (tmp_path / f"global_step_{step}").mkdir()
    command = ["best", str(neglecting), "--checkpoints", str(tmp_path), "--link"]
    for _ in range(2):  # again, over the links that are there
        done = CliRunner().invoke(app, command, env={"COLUMNS": "150"})
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "best_by_sum").resolve().name == "global_step_30"
    assert (tmp_path / "best_by_lowest").resolve().name == "global_step_20"
    assert "easy 8.000, hard 0.600" in done.stdout


def test_a_log_without_rewards_says_what_is_needed(tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text('{"step": 1, "data": {"actor/lr": 1}}\n')
    with pytest.raises(UserError, match=r"no step has any reward; expected val-aux/SOURCE/NAME/mean@N"):
        best_step([log])
