"""Does the judge answer, in the right form, how fast, and what will a training cost?"""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from rvpo_verl.judge.config import CallLogConfig, JudgeConfig
from rvpo_verl.judge.figures import Figures
from rvpo_verl.judge.judge import Judge
from rvpo_verl.rubric import Criterion

MESSAGES = [{"role": "user", "content": "Name the capital of France and a river there."}]
ANSWER = "The capital of France is Paris, and the Seine flows through it."
PLAIN_STATEMENTS = {
    Criterion(criterion="Names Paris as the capital of France."): 1.0,
    Criterion(criterion="Mentions the Rhine."): 0.0,
    Criterion(criterion="Names a river that flows through France."): 1.0,
    Criterion(criterion="Gives the number of inhabitants of Paris."): 0.0,
}
FILLER = "the patient should rest drink enough and see a doctor when the fever lasts "


@dataclass(frozen=True)
class Run:
    """Size of a training, for an estimate."""

    prompts: int = 96
    """Per step."""
    rollouts: int = 16
    """Per prompt."""
    criteria: float = 10.0
    """Per prompt, on average."""
    steps: int = 300
    answer_chars: int = 4000
    price_in: float | None = None
    """Of a million tokens that the judge reads."""
    price_out: float | None = None
    """Of a million tokens that the judge writes."""


@dataclass
class EndpointCheck:
    """The behavior of one endpoint. Fields are None if it gave no verdict on plain statements."""

    endpoint: str
    failures: dict[str, int] = field(default_factory=dict)
    """Count by cause."""
    form: str | None = None
    """In which verdicts are requested, one of `verdict.FORMS`."""
    correct: int = 0
    """Correct verdicts among those on `PLAIN_STATEMENTS`."""
    latency: float | None = None
    """Median seconds of a call with no other call in flight."""
    verdicts_per_second: float | None = None
    """With `limit` calls in flight."""
    tokens_in: float | None = None
    """Mean per completion."""
    tokens_out: float | None = None
    seconds_per_step: float | None = None
    """Time to judge a step at that rate."""
    cost: float | None = None
    """Of the whole run, in the currency of the prices."""

    @property
    def usable(self) -> bool:
        return self.verdicts_per_second is not None


async def first_verdicts(config: JudgeConfig) -> list[str | None]:
    """Asks each endpoint for one verdict: why it gave none, or None."""
    criteria = list(PLAIN_STATEMENTS)[:1]
    judges = _judge_per_endpoint(config)
    outcomes = await asyncio.gather(*(judge.judge(MESSAGES, ANSWER, criteria) for judge in judges))
    return [judgement.failure for (judgement,) in outcomes]


async def check(config: JudgeConfig, run: Run, *, responses: int = 32) -> list[EndpointCheck]:
    """Checks the endpoints one after the other.

    Args:
        responses: number of generated responses of the run's length that the rate is measured with.
    """
    return [await _check(judge, run, responses) for judge in _judge_per_endpoint(config)]


def _judge_per_endpoint(config: JudgeConfig) -> list[Judge]:
    return [
        Judge(
            config.model_copy(update={"endpoints": [endpoint], "votes": 1, "log": CallLogConfig()}),
            patient=False,
        )
        for endpoint in config.endpoints or ()
    ]


async def _check(judge: Judge, run: Run, responses: int) -> EndpointCheck:
    result = EndpointCheck(str(judge.endpoints[0]))
    failures: Counter[str] = Counter()
    figures = Figures()
    for criterion, expected in PLAIN_STATEMENTS.items():
        (judgement,) = await judge.judge(MESSAGES, ANSWER, [criterion], figures=figures)
        result.correct += judgement.truth == expected
        failures.update([judgement.failure] if judgement.failure else [])
    result.endpoint = str(judge.endpoints[0])  # now with the model, also if it was left out
    if failures.total() < len(PLAIN_STATEMENTS):
        result.latency = statistics.median(figures.latency)
        result.form = judge.forms[judge.endpoints[0]]
        failures += await _measure_rate(judge, run, responses, result)
    result.failures = dict(failures)
    return result


async def _measure_rate(judge: Judge, run: Run, responses: int, result: EndpointCheck) -> Counter[str]:
    """Fills in rate, tokens and cost; returns the failures."""
    criteria = [
        Criterion(criterion=f"Mentions finding number {number}.") for number in range(round(run.criteria))
    ]
    answers = [f"{number}. {FILLER * run.answer_chars}"[: run.answer_chars] for number in range(responses)]
    figures, started = Figures(), time.monotonic()
    batch = await asyncio.gather(
        *(judge.judge(MESSAGES, answer, criteria, figures=figures) for answer in answers)
    )
    elapsed = time.monotonic() - started
    judgements = [judgement for of_answer in batch for judgement in of_answer]
    rate = sum(judgement.truth is not None for judgement in judgements) / elapsed
    completions = len(figures.latency)
    if rate > 0:
        verdicts_per_step = run.prompts * run.rollouts * run.criteria
        per_response = judge.config.calls == "response"
        calls_per_step = run.prompts * run.rollouts if per_response else verdicts_per_step
        result.verdicts_per_second, result.seconds_per_step = rate, verdicts_per_step / rate
        result.tokens_in = figures.tokens_in / completions
        result.tokens_out = figures.tokens_out / completions
        if run.price_in is not None and run.price_out is not None:
            price_of_call = (result.tokens_in * run.price_in + result.tokens_out * run.price_out) / 1e6
            result.cost = run.steps * calls_per_step * price_of_call
    return Counter(judgement.failure for judgement in judgements if judgement.failure)
