import json
import math

import pytest

from rvpo_verl.cpu import demo, launch, tasks


def answers(prompt, *scores):
    return [demo._scored({"input": prompt, **dict(zip(demo.REWARDS, pair, strict=True))}) for pair in scores]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"estimator": "ppo"}, "estimator='ppo'; accepted: rvpo, grpo, gdpo"),
        ({"estimator": "grpo", "aggregation": "mean"}, "aggregation='mean' is an option of estimator='rvpo'"),
        ({"steps": 0}, "steps=0; at least 1"),
        ({"ranks": 0}, "ranks=0; at least 1"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said):
        demo.run_demo(**arguments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="no folder of an earlier demo"):
        demo._prepare(tmp_path, seed=0)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_folder_of_an_earlier_demo_is_emptied(tmp_path):
    out = demo._prepare(tmp_path / "out", seed=0)
    (out / "metrics.jsonl").write_text("old")
    assert demo._prepare(out, seed=1) == out
    assert [path.name for path in out.iterdir()] == ["demo.json"]
    assert json.loads((out / "demo.json").read_text()) == {"seed": 1}


def test_no_training_row_is_held_out():
    plan = demo._generated(seed=0, steps=2)
    held_out = {tasks.prompt_key(row) for row in plan.held_out_rows}
    assert not held_out & {tasks.prompt_key(row) for row in (*plan.warm_up_rows, *plan.train_rows)}
    assert len(plan.held_out_rows) >= demo.SAMPLES
    assert len(plan.train_rows) == 2 * plan.prompts


def test_a_prompt_is_compared_with_itself():
    before = answers("a", (0.0, -3.0), (1.0, -1.0)) + answers("b", (0.0, 1.0))
    after = answers("a", (1.0, 0.0), (1.0, 2.0)) + answers("b", (1.0, 2.0))
    # Prompt a rose by 3, b by 1.
    assert demo._moved(before, after, "tool_call_correctness") == pytest.approx((2.0, 1.0))
    assert demo._moved(before, after, "tool_call_format") == pytest.approx((0.75, 0.25))


def test_missing_scores_are_left_out():
    scores = answers("a", (1.0, None), (1.0, 3.0), (0.0, math.nan))
    assert demo._mean(scores, "tool_call_correctness") == 3.0
    assert demo._mean(scores, demo.BOTH) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("moved", "error", "said"),
    [
        (0.3, 0.1, "x rose by 0.30 ± 0.10."),
        (-0.3, 0.1, "x fell by 0.30 ± 0.10."),
        (0.1, 0.1, "x did not move measurably (+0.10 ± 0.10)."),
        (0.0, 0.0, "x did not move measurably (+0.00 ± 0.00)."),
        (1.0, math.nan, "x did not move measurably (+1.00 ± nan)."),
    ],
)
def test_only_what_moved_measurably_is_said_to_have_moved(moved, error, said):
    assert demo._verdict("x", moved, error) == said


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"rvpo/tool_call_format/mean": 0.5, "rvpo/k": 2.0}, "tool_call_format 0.50  k 2.00"),
        ({"gdpo/tool_call_format/mean": 0.5}, "tool_call_format 0.50"),
        ({"critic/score/mean": -1.0}, "sum of rewards -1.00"),
        ({}, ""),
    ],
)
def test_progress_shows_whatever_rewards_the_estimator_logs(metrics, said):
    assert demo._summary(metrics) == said


def test_verls_log_is_followed_to_its_end_by_whole_lines(tmp_path):
    class Process:
        polls = 0

        def poll(self):
            self.polls += 1
            with (tmp_path / "log").open("a") as file:
                file.write('{"step": 1}\n{"st' if self.polls == 1 else 'ep": 2}\n')
            return None if self.polls == 1 else 0

    assert list(launch.follow(tmp_path / "log", Process())) == [{"step": 1}, {"step": 2}]
