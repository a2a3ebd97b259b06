"""Comparing the launcher's runs with the loop's."""

import pytest
from experiment import confirm, grid, qwen, warm_up
from experiment.cells import Cells
from experiment.confirm import Confirmed

from tests.support.made_runs import made


def cell(task, method, shares, checkpoint, **options):
    """A run for each seed, of which so many of the held-out answers meet all constraints."""
    options |= {"task": task, "method": method, "answers": 64, "checkpoint": checkpoint}
    return [made(met=share, seed=seed, **options) for seed, share in enumerate(shares)]


@pytest.fixture
def confirmed():
    loop = [
        *cell("shortcut", "gdpo", (0.5, 0.5), 0, steps=600),
        *cell("shortcut", "gdpo", (0.0, 0.0), 2, steps=600),
        *cell("shortcut", "k5+c", (1.0, 0.9), 0, steps=600),
        *cell("discovery", "k2+c", (0.0, 0.0), 1, steps=600),
        *cell("discovery", "guarded2", (0.9, 0.9), 1, steps=600),
    ]
    launcher = [
        *cell("shortcut", "gdpo", (0.5, 0.5), 0, steps=120),
        *cell("shortcut", "k5+c", (0.9, 0.8), 0, steps=120),
        *cell("discovery", "k2+c", (0.9,), 1, steps=120),
        *cell("discovery", "guarded2", (0.9,), 1, steps=120),
        *cell("discovery", "k2+c", (0.0, 0.8), 3, steps=120),
        *cell("discovery", "guarded2", (0.5, 0.5), 3, steps=120),
    ]
    return Confirmed(Cells(loop), launcher)


def rows(table):
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_every_checkpoint_of_the_launcher_has_a_counterpart_taught_the_same_rule():
    for _, checkpoint, _ in grid.CONFIRMED:
        counterpart = confirm.COUNTERPART[checkpoint]
        assert qwen.TAUGHT[checkpoint][0] == warm_up.FORBIDDEN_TOOL[counterpart]


def test_a_difference_is_confirmed_where_every_seed_shows_it_whatever_its_size(confirmed):
    assert rows(confirm.pair_table(confirmed)) == [
        ["shortcut", "0", "GDPO → k=5, centered", "+0.45", "+0.40, +0.30", "**confirmed**"],
        ["discovery", "1", "k=2, centered → k=2 and bonus", "+0.90", "+0.00", "**not confirmed**"],
        ["discovery", "3", "k=2, centered → k=2 and bonus", "+0.90", "+0.50, -0.30", "**in part**"],
    ]


def test_a_cell_of_the_launcher_stands_beside_the_loops_of_its_counterpart(confirmed):
    found = rows(confirm.task_table(confirmed, "shortcut"))
    assert found[0] == ["0", "before training", "launcher", "", "0.00", "0.00", "0.00", "0.00", "0.00"]
    assert found[1] == ["0", "GDPO", "loop", "2", "0.50 [0.50, 0.50]", "1.00", "3.00", "1.00", "0.75"]
    assert [line[:4] for line in found[2:]] == [
        ["0", "GDPO", "launcher", "2"], ["0", "k=5, centered", "loop", "2"], ["0", "k=5, centered", "launcher", "2"],
    ]  # fmt: skip
    both = [line[:4] for line in rows(confirm.task_table(confirmed, "discovery"))]
    assert both[5] == ["3", "before training", "launcher", ""]
    assert both[6:8] == [["1", "k=2, centered", "loop", "2"], ["3", "k=2, centered", "launcher", "2"]]


def test_without_runs_of_the_launcher_nothing_is_said():
    alone = Confirmed(Cells([made()]), [])
    assert confirm.pair_table(alone) == confirm.task_table(alone, "discovery") == "*No runs.*"
