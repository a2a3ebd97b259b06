"""The report: report.md with its places filled from the results, and the figures beside it."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from experiment import confirm, figures, policy, prompts, tables, tasks, warm_up, watch, words
from experiment import statistics as stats
from experiment.answers import Answers
from experiment.cells import Cells
from experiment.claims import claims
from experiment.confirm import Confirmed
from experiment.grid import TASKS, whole_grid
from experiment.methods import METHODS
from experiment.results import Result

TEMPLATE = Path(__file__).with_name("report.md")
PLACE = re.compile(r"\{\{(.+?)\}\}")
WARM_UP_SAMPLES = 16
"""Answers to each held-out prompt."""
PARTIAL = """
**These are the results of a part of the grid.** Tables, figures and verdicts are theirs; the words between them were
written about the whole, and may say otherwise.
"""
JUDGED_TWICE = {"flipped": 0.2, "verdicts": 2}


def write(results: Sequence[Result], confirmed: Sequence[Result], docs: Path) -> None:
    """docs/experiments.md and docs/figures/experiment-*.png.

    The template's words are about the kept results; its tables, figures and verdicts are of those given.

    Args:
        confirmed: of the runs through verl's launcher.
    """
    cells = Cells(results)
    folder = docs / "figures"
    figures.overview(cells, folder / "experiment-overview.png")
    for task in TASKS:
        if cells.methods(task):
            figures.curves(cells, task, folder / f"experiment-{task}.png")
    figures.settings(
        cells,
        [
            ("shortcut: rewards M", "shortcut", "rewards", (6, 10, 17)),
            ("shortcut: group size G", "shortcut", "group_size", (4, 8, 16)),
            ("discovery: group size G", "discovery", "group_size", (4, 8, 16)),
            ("shortcut: flipped verdicts", "shortcut", "flipped", (0.0, 0.2)),
        ],
        folder / "experiment-settings.png",
    )
    makers = _places(cells, Confirmed(cells, confirmed))

    def fill(place: re.Match[str]) -> str:
        name, *arguments = place.group(1).split(":")
        return makers[name](*arguments)

    text = PLACE.sub(fill, TEMPLATE.read_text())
    (docs / "experiments.md").write_text(text)


def _places(cells: Cells, confirmed: Confirmed) -> dict[str, Callable[..., str]]:
    return {
        "runs": lambda: str(len(cells.results)),
        "parameters": lambda: f"{policy.size(policy.initialize(1, torch.Generator())):,}",
        "main": lambda task: tables.main_table(cells, task),
        "rewards": lambda task: tables.reward_table(cells, task),
        "by": lambda task, name, *values: tables.setting_table(
            cells, task, name, [float(v) if "." in v else int(v) for v in values]
        ),
        "pairs": lambda: tables.pair_table(cells),
        "reliability": lambda: tables.cell_table(
            [
                (METHODS[name].label, cells("shortcut", name, **JUDGED_TWICE))
                for name in cells.methods("shortcut", **JUDGED_TWICE)
            ],
            {"meets all": stats.met},
        ),
        "claims": lambda: tables.markdown(
            ["the paper", "here", "evidence"],
            [[claim.text, f"**{claim.verdict}**", claim.evidence] for claim in claims(cells)],
        ),
        "partial": lambda: "" if len(cells.results) >= len(whole_grid()) else PARTIAL,
        "confirmed": lambda task: confirm.task_table(confirmed, task),
        "confirmed_pairs": lambda: confirm.pair_table(confirmed),
        "watch": lambda: _watch_table(cells),
        "warm_up": _warm_up_table,
    }


def _watch_table(cells: Cells) -> str:
    rows = []
    for task in TASKS:
        found = watch.accuracy([r for name in cells.methods(task) for r in cells(task, name)])
        rows.append(
            [
                task,
                f"{found.reported} of {found.lost}",
                f"{found.when:.0f}",
                f"{found.false_alarms} of {found.solved}",
            ]
        )
    head = [
        "task",
        "runs that lost a reward: it was named",
        "at step (median)",
        "runs that solved it: any was named",
    ]
    return tables.markdown(head, rows)


def _warm_up_table() -> str:
    """Where training starts: rewards of the warmed-up policies on held-out prompts."""
    parameters = warm_up.checkpoints()
    asked_NF = prompts.evaluation().repeat(WARM_UP_SAMPLES, 1)
    uniform_TRN = torch.rand(
        words.MAX_WORDS, 1, len(asked_NF), generator=torch.Generator().manual_seed(0)
    ).expand(-1, len(warm_up.FORBIDDEN_TOOL), -1)
    with torch.no_grad():
        sampled = policy.sample(parameters, asked_NF.expand(len(warm_up.FORBIDDEN_TOOL), -1, -1), uniform_TRN)
    rows = []
    for checkpoint, share in enumerate(warm_up.FORBIDDEN_TOOL):
        answers = Answers(sampled.words_RNT[checkpoint], asked_NF)
        row = [str(checkpoint), f"{share:.0%}"]
        for task, name in (
            ("shortcut", "format"),
            ("shortcut", "safe"),
            ("tradeoff", "reasons"),
            ("discovery", "receipt"),
        ):
            chosen = tasks.task(task)
            row.append(f"{chosen.score(answers)[:, chosen.rewards.index(name)].mean():.2f}")
        rows.append(row)
    return tables.markdown(
        ["checkpoint", "taught to break the rule", "format", "safe", "reasons", "receipt"], rows
    )
