"""From a grid of a few short runs to the report, as a newcomer runs it."""

import re

import pytest
import torch
from experiment import grid, loop, policy, report, results, warm_up, watch
from experiment.cells import Cells

from tests.support.made_runs import made


@pytest.fixture(scope="module")
def finished():
    with pytest.MonkeyPatch.context() as patch:
        checkpoints = policy.initialize(3, torch.Generator().manual_seed(0))
        patch.setattr(warm_up, "checkpoints", lambda: checkpoints)
        patch.setattr(loop, "FINAL_SAMPLES", 1)
        runs = [grid.Run(run.task, run.method, 0, run.seed, steps=2) for run in grid.quick_grid()]
        found = []
        for task in grid.TASKS:
            part = [run for run in runs if run.task == task]
            found += [
                results.Result(run, outcome) for run, outcome in zip(part, loop.train(part), strict=True)
            ]
    return found


@pytest.fixture(autouse=True)
def few_answers(monkeypatch):
    """Untrained policies give irregular answers, which take long to score."""
    monkeypatch.setattr(
        warm_up, "checkpoints", lambda: policy.initialize(3, torch.Generator().manual_seed(0))
    )
    monkeypatch.setattr(report, "WARM_UP_SAMPLES", 1)


def test_the_report_is_written_from_any_grid(finished, tmp_path):
    report.write(finished, [], tmp_path)
    text = (tmp_path / "experiments.md").read_text()
    assert "{{" not in text
    assert "| RVPO k=2 | 2 |" in text
    assert "results of a part of the grid" in text
    assert "**reproduced** | shortcut, share" not in text, "no test on two pairs tells anything"
    assert "**not reproduced** | shortcut, share" not in text
    for figure in re.findall(r"\((figures/\S+\.png)\)", text):
        if figure != "figures/experiment-settings.png":
            assert (tmp_path / figure).stat().st_size > 10_000, figure


def test_the_same_results_give_the_same_report(finished, tmp_path):
    for folder in ("a", "b"):
        report.write(finished, [], tmp_path / folder)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), (
            path.name
        )


def test_a_cell_holds_the_runs_of_its_setting_alone():
    cells = Cells([made(steps=600, answers=64), made(steps=600, answers=64, group_size=4), made(steps=600)])
    assert len(cells("shortcut", "gdpo")) == 1
    assert len(cells("shortcut", "gdpo", group_size=4)) == 1
    assert cells("shortcut", "k2") == []
    assert cells.methods("shortcut") == ["gdpo"]


def test_a_replayed_run_names_the_reward_that_fell():
    run = made()
    run.outcome.steps[:] = [0, 20, 40, 60]
    run.outcome.rewards[:] = [[0.5, 0, 1.0, v, v, v] for v in (0.4, 0.6, 0.8, 1.0)]
    for step, safe in enumerate((0.9, 0.8, 0.6, 0.5)):
        run.outcome.rewards[step][2] = safe
    assert watch.replay(run) == {"safe": 40}
    run.outcome.final_rewards[2] = 0.5
    found = watch.accuracy([run, made(seed=1)])
    assert (found.lost, found.reported, found.solved, found.false_alarms) == (1, 1, 1, 0)
