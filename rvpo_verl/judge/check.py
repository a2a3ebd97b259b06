"""Does the judge answer, in the right form, how fast, and what will a training cost?"""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge
from rvpo_verl.rubric import Criterion

MESSAGES = [{"role": "user", "content": "Name the capital of France and a river there."}]
ANSWER = "The capital of France is Paris, and the Seine flows through it."
CRITERIA = (
    Criterion(criterion="Names Paris as the capital of France."),
    Criterion(criterion="Mentions the Rhine."),
    Criterion(criterion="Names a river that flows through France."),
    Criterion(criterion="Gives the number of inhabitants of Paris."),
)
EXPECTED = (1.0, 0.0, 1.0, 0.0)
WORDS = "the patient should rest drink enough and see a doctor when the fever lasts "


@dataclass(frozen=True)
class Run:
    """Size of a training, for an estimate."""

    prompts: int = 96
    rollouts: int = 16
    criteria: float = 10.0
    steps: int = 300
    answer_chars: int = 4000
    price_in: float | None = None
    """Of a million tokens that the judge reads."""
    price_out: float | None = None
    """Of a million tokens that it writes."""


@dataclass
class Checked:
    """What one endpoint did."""

    endpoint: str
    failures: dict[str, int] = field(default_factory=dict)
    """Count by what happened; empty if it always answered."""
    schema: bool | None = None
    """Whether it takes a schema; None if it was not asked with one, or gave no verdict."""
    right: int = 0
    """Of the verdicts on four plain statements, those that are right."""
    latency: float | None = None
    """Median seconds of a call, alone."""
    verdicts_per_second: float | None = None
    """With `limit` calls in flight."""
    tokens_in: float | None = None
    """Of a call, on average."""
    tokens_out: float | None = None
    seconds_per_step: float | None = None
    """Of judging, at that rate."""
    cost: float | None = None
    """Of the whole run."""

    @property
    def usable(self) -> bool:
        return self.verdicts_per_second is not None


async def first_verdicts(config: JudgeConfig) -> list[tuple[str, str | None]]:
    """Each endpoint of the configuration asked by itself: its URL, and why it gave no verdict, or None."""
    judges = _one_by_one(config)
    outcomes = await asyncio.gather(*(judge.judge(MESSAGES, ANSWER, CRITERIA[:1]) for judge in judges))
    return [
        (str(judge.endpoints[0]), outcome[0].failure) for judge, outcome in zip(judges, outcomes, strict=True)
    ]


async def check(config: JudgeConfig, run: Run, *, responses: int = 32) -> list[Checked]:
    """Asks each endpoint by itself, one after the other.

    Args:
        responses: made-up answers of the run's length that the rate is measured with.
    """
    return [await _check(judge, run, responses) for judge in _one_by_one(config)]


def _one_by_one(config: JudgeConfig) -> list[Judge]:
    return [
        Judge(config.model_copy(update={"endpoints": [endpoint], "cache": None, "votes": 1}))
        for endpoint in config.endpoints or ()
    ]


async def _check(judge: Judge, run: Run, responses: int) -> Checked:
    endpoint, per_response = judge.endpoints[0], judge.config.calls == "response"
    failures: Counter[str] = Counter()
    seconds, right = [], 0
    for criterion, expected in zip(CRITERIA, EXPECTED, strict=True):
        started = time.monotonic()
        (judgement,) = await judge.judge(MESSAGES, ANSWER, [criterion])
        seconds.append(time.monotonic() - started)
        right += judgement.truth == expected
        failures.update([judgement.failure] if judgement.failure else [])
    if failures.total() == len(CRITERIA):
        return Checked(str(endpoint), dict(failures))

    criteria = [
        Criterion(criterion=f"Mentions finding number {number}.") for number in range(round(run.criteria))
    ]
    answers = [f"{number}. {WORDS * run.answer_chars}"[: run.answer_chars] for number in range(responses)]
    before, started = judge.usage.copy(), time.monotonic()
    batch = await asyncio.gather(*(judge.judge(MESSAGES, answer, criteria) for answer in answers))
    rate = sum(one.truth is not None for judgements in batch for one in judgements) / (
        time.monotonic() - started
    )
    failures.update(one.failure for judgements in batch for one in judgements if one.failure)
    calls = judge.usage.calls - before.calls
    tokens_in = (judge.usage.tokens_in - before.tokens_in) / calls
    tokens_out = (judge.usage.tokens_out - before.tokens_out) / calls

    verdicts = run.prompts * run.rollouts * run.criteria
    calls_per_step = judge.config.votes * (run.prompts * run.rollouts if per_response else verdicts)
    cost = None
    if run.price_in is not None and run.price_out is not None:
        cost = run.steps * calls_per_step * (tokens_in * run.price_in + tokens_out * run.price_out) / 1e6
    return Checked(
        endpoint=str(endpoint),
        failures=dict(failures),
        schema=None if judge.config.output == "text" else not endpoint.without_schema,
        right=right,
        latency=statistics.median(seconds),
        verdicts_per_second=rate or None,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        seconds_per_step=verdicts / rate if rate else None,
        cost=cost,
    )


def show(checked: list[Checked], run: Run, config: JudgeConfig, console: Console) -> None:
    for one in checked:
        table = Table(
            title=escape(one.endpoint), title_justify="left", box=box.SIMPLE_HEAD, show_header=False
        )
        answers = "[green]yes[/green]" if one.usable else "[red]no[/red]"
        table.add_row("gives verdicts", answers)
        for failure, count in one.failures.items():
            table.add_row(f"failed {count} times", f"[red]{escape(failure)}[/red]")
        if one.usable:
            schema = {True: "yes", False: "no: asked in words", None: "not asked"}[one.schema]
            table.add_row("takes a JSON schema", schema)
            table.add_row("right on plain statements", f"{one.right} of {len(CRITERIA)}")
            table.add_row("a call alone", f"{one.latency:.2f} s (median)")
            table.add_row(f"verdicts a second, {config.limit} in flight", f"{one.verdicts_per_second:.1f}")
            table.add_row("tokens of a call", f"{one.tokens_in:.0f} read, {one.tokens_out:.0f} written")
            size = f"{run.prompts} x {run.rollouts} x {run.criteria:g}"
            table.add_row(f"a step of {size} verdicts", f"{one.seconds_per_step:.0f} s")
            if one.cost is not None:
                table.add_row(f"{run.steps} steps", f"{one.cost:,.2f}, in the currency of the prices")
        console.print(table)


def as_json(checked: list[Checked]) -> list[dict[str, Any]]:
    return [asdict(one) | {"usable": one.usable} for one in checked]
