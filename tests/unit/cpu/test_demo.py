import json

import pytest

from rvpo_verl.cpu import demo, demo_plan, launch, tasks
from rvpo_verl.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"estimator": "ppo"}, "estimator='ppo'; accepted: rvpo, grpo, gdpo"),
        ({"estimator": "grpo", "aggregation": "mean"}, "aggregation='mean' is an option of estimator='rvpo'"),
        ({"steps": 0}, "steps=0; at least 1"),
        ({"ranks": 0}, "ranks=0; at least 1"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path, arguments, said):
    with pytest.raises(UserError, match=said):
        demo.run_demo(**arguments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not the folder of an earlier demo"):
        demo.prepare_folder(tmp_path, seed=0)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_folder_of_an_earlier_demo_is_emptied(tmp_path):
    out = demo.prepare_folder(tmp_path / "out", seed=0)
    (out / "metrics.jsonl").write_text("old")
    assert demo.prepare_folder(out, seed=1) == out
    assert [path.name for path in out.iterdir()] == ["demo.json"]
    assert json.loads((out / "demo.json").read_text()) == {"seed": 1}


def test_no_training_row_is_held_out():
    plan = demo_plan.generated(seed=0, steps=2)
    held_out = {tasks.prompt_key(row) for row in plan.held_out_rows}
    assert not held_out & {tasks.prompt_key(row) for row in (*plan.warm_up_rows, *plan.train_rows)}
    assert len(plan.held_out_rows) >= demo_plan.SAMPLES
    assert len(plan.train_rows) == 2 * plan.prompts


@pytest.mark.parametrize(
    ("metrics", "figures"),
    [
        ({"rvpo/tool_call_format/mean": 0.5, "rvpo/k": 2.0}, {"tool_call_format": 0.5, "k": 2.0}),
        ({"gdpo/tool_call_format/mean": 0.5}, {"tool_call_format": 0.5}),
        ({"critic/score/mean": -1.0}, {"sum of rewards": -1.0}),
        ({}, {}),
    ],
)
def test_progress_has_the_rewards_under_the_names_of_each_estimator(metrics, figures):
    assert demo._step_figures(metrics) == figures


def test_a_log_is_followed_to_its_end_in_whole_lines(tmp_path):
    class Process:
        polls = 0

        def poll(self):
            self.polls += 1
            with (tmp_path / "log").open("a") as file:
                file.write('{"step": 1}\n{"st' if self.polls == 1 else 'ep": 2}\n')
            return None if self.polls == 1 else 0

    assert list(launch.follow(tmp_path / "log", Process())) == [{"step": 1}, {"step": 2}]
