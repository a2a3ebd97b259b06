"""A response and its criteria in, a judgement of each criterion out.

What fails is missing, with a cause; what arrived stands. Nothing here raises for what a server does.
"""

import asyncio
import contextlib
import logging
import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, count
from statistics import fmean
from typing import Any

import tenacity

from rvpo_verl.judge import prompt, verdict
from rvpo_verl.judge.cache import VerdictCache, fingerprint
from rvpo_verl.judge.config import EndpointConfig, JudgeConfig
from rvpo_verl.judge.endpoint import Completion, Endpoint, JudgeError
from rvpo_verl.judge.prompt import Subject
from rvpo_verl.judge.slots import Slots
from rvpo_verl.rubric import Criterion

logger = logging.getLogger("rvpo_verl.judge")

LONGEST_BACKOFF = 30.0


@dataclass(frozen=True)
class Judgement:
    """What came out on one criterion."""

    truth: float | None
    """How far it is true, from 0 to 1, the mean of the votes that arrived; None if none did."""
    failure: str | None = None
    """Why there is none, as `kind: endpoint and what happened`."""
    disagreement: float | None = None
    """Mean difference between two votes, 0 to 1: for true and false, how often two of them differ."""


@dataclass
class Usage:
    """Work done so far, in this process."""

    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def copy(self) -> "Usage":
        return replace(self)


@dataclass(frozen=True)
class _Question:
    """What one call asks: the criteria by their key in the answer."""

    criteria: Mapping[str, Criterion]
    vote: int


class Judge:
    """Judges responses, in any event loop."""

    def __init__(self, config: JudgeConfig, *, reward_workers: int = 1, router_address: str | None = None):
        """
        Args:
            config: the judge.
            reward_workers: processes that share its limit of calls in flight.
            router_address: `host:port` of the reward model that verl serves.

        Raises:
            ValueError: the configuration cannot work in this process.
        """
        endpoints = config.endpoints
        if endpoints is None:
            if router_address is None:
                raise ValueError(
                    "the judge has no endpoints and verl serves no reward model: set "
                    "judge.endpoints=[{base_url: http://HOST:PORT/v1, model: NAME}], or "
                    "reward.reward_model.enable=True with its model"
                )
            endpoints = [EndpointConfig(base_url=f"http://{router_address}/v1")]
        self.config = config
        self.endpoints = [Endpoint(endpoint, config.timeout) for endpoint in endpoints]
        for endpoint in self.endpoints:
            endpoint.without_schema = config.output == "text"
        self.usage = Usage()
        self._share = config.share(reward_workers)
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Slots] = weakref.WeakKeyDictionary()
        self._responses = count()
        self._cache = None if config.cache is None else VerdictCache(config.cache)
        sampling = {"temperature": config.temperature, "max_tokens": config.max_tokens}
        self._sampling = {
            name: value for name, value in sampling.items() if value is not None
        } | config.extra_body

    async def judge(
        self, messages: Sequence[Mapping[str, Any]] | None, answer: str, criteria: Sequence[Criterion]
    ) -> list[Judgement]:
        """A judgement of each criterion, in order.

        Args:
            messages: the conversation that the answer ends.
            answer: untrusted text.
        """
        outcomes = await self._ask_all(messages, answer, criteria)
        judgements = []
        for number in range(len(criteria)):
            part, name = (0, str(number + 1)) if self.config.calls == "response" else (number, "1")
            votes = outcomes[part * self.config.votes : (part + 1) * self.config.votes]
            judgements.append(_judgement([(truths.get(name), failure) for truths, failure in votes]))
        return judgements

    async def _ask_all(
        self, messages: Sequence[Mapping[str, Any]] | None, answer: str, criteria: Sequence[Criterion]
    ) -> list[tuple[dict[str, float], str | None]]:
        """The verdicts on each question, and why some are not there."""
        rank, slots = next(self._responses), self._slots_here()
        if self._cache is not None:
            await self._find_models()
        tasks: list[asyncio.Task[None]] = []
        try:
            # After a burst of rollouts each response waits in one piece and unread, not in as many as it has criteria,
            # and begins when there is a slot for it. The wait is long, and does not count towards the deadline.
            async with slots.begin, slots.one(rank):
                subject = Subject.of(messages, answer, self.config.max_answer_chars)
                asked = [
                    _Asked(question, self._keys(subject, question)) for question in self._questions(criteria)
                ]
                await self._look_up(asked)
                unknown = [one for one in asked if one.missing]
                tasks += [asyncio.create_task(self._ask(subject, one, rank, slots)) for one in unknown]
                if tasks:
                    await asyncio.sleep(0)  # so that they are first in line when the slot is given back
            await self._until_deadline(unknown, tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [(one.verdicts, one.failure if one.missing else None) for one in asked]

    def _questions(self, criteria: Sequence[Criterion]) -> list[_Question]:
        parts = [{"1": criterion} for criterion in criteria]
        if self.config.calls == "response":
            parts = [{str(number): criterion for number, criterion in enumerate(criteria, start=1)}]
        return [_Question(part, vote) for part in parts for vote in range(self.config.votes)]

    async def _until_deadline(self, asked: Sequence["_Asked"], tasks: Sequence["asyncio.Task[None]"]) -> None:
        timer = asyncio.get_running_loop().call_later(
            self.config.deadline, lambda: [task.cancel() for task in tasks]
        )
        try:
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            timer.cancel()
        for one, result in zip(asked, results, strict=True):
            if isinstance(result, asyncio.CancelledError):
                last = one.failure or f"nothing yet from {self._choose(one.attempted)}"
                one.failure = f"deadline: no verdict within {self.config.deadline:g} s; last was {last}"
            elif result is not None:
                raise result

    async def _ask(self, subject: Subject, asked: "_Asked", rank: int, slots: Slots) -> None:
        """Gets the verdicts that are missing; what one attempt brought is not asked for by the next."""

        async def attempt() -> None:
            endpoint = self._choose(asked.attempted)
            asked.attempted.append(endpoint)
            try:
                # Written before it waits, so that a slot is idle no longer than sending takes.
                plain = body = self._body(subject, asked.missing)
                if not endpoint.without_schema:
                    body = plain | {"response_format": verdict.response_format(asked.missing)}
                request = await endpoint.encode(body)
                async with slots.one(rank):
                    completion = await self._complete(endpoint, request, None if body is plain else plain)
                self._read(endpoint, completion, asked)
            except JudgeError as error:
                asked.failure = error.cause
                raise

        with contextlib.suppress(JudgeError):  # kept in asked.failure
            try:
                await attempt()
            except JudgeError as error:
                if not error.again or self.config.attempts == 1:
                    return
                # Only from here on with tenacity, whose bookkeeping would cost each call a tenth more time.
                await asyncio.sleep(self._pause(1, error, asked.attempted))
                await tenacity.AsyncRetrying(
                    stop=tenacity.stop_after_attempt(self.config.attempts - 1),
                    wait=lambda state: self._pause(
                        state.attempt_number + 1, state.outcome.exception(), asked.attempted
                    ),
                    retry=tenacity.retry_if_exception(
                        lambda error: isinstance(error, JudgeError) and error.again
                    ),
                    reraise=True,
                )(attempt)

    def _choose(self, attempted: Sequence[Endpoint]) -> Endpoint:
        """The endpoint for the next attempt: one that answers before one that rests, else a fresh one."""
        return min(self.endpoints, key=lambda endpoint: (endpoint.rests, attempted.count(endpoint)))

    def _pause(self, attempts: int, error: JudgeError, attempted: Sequence[Endpoint]) -> float:
        """Seconds until the next attempt: none if it goes to an endpoint that was not asked yet."""
        if self._choose(attempted) not in attempted:
            return 0.0
        longest = min(LONGEST_BACKOFF, self.config.backoff * 2 ** (attempts - 1))
        return max(error.retry_after, random.uniform(0, longest))

    def _body(self, subject: Subject, criteria: Mapping[str, Criterion]) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "system", "content": prompt.INSTRUCTIONS},
                {"role": "user", "content": subject.text + prompt.question(criteria)},
            ],
            **self._sampling,
        }

    async def _complete(
        self, endpoint: Endpoint, request: bytes, plain: Mapping[str, Any] | None
    ) -> Completion:
        """The completion of a request, or of the `plain` one if its schema is refused."""
        self.usage.calls += 1
        try:
            return await endpoint.complete(request)
        except JudgeError as error:
            if plain is None or self.config.output != "auto" or error.status not in (400, 422):
                raise
            try:
                completion = await endpoint.complete(await endpoint.encode(plain))
            except JudgeError:
                raise error from None  # it was not the schema
            if not endpoint.without_schema:
                endpoint.without_schema = True
                logger.warning(
                    "%s takes no JSON schema (%s): verdicts are asked for in words", endpoint, error
                )
            return completion

    def _read(self, endpoint: Endpoint, completion: Completion, asked: "_Asked") -> None:
        self.usage.tokens_in += completion.tokens_in
        self.usage.tokens_out += completion.tokens_out
        try:
            found = verdict.read_verdicts(completion.text, asked.missing)
        except verdict.MalformedError as error:
            cut = ", cut off at max_tokens" if completion.finish_reason == "length" else ""
            raise JudgeError("malformed", f"{endpoint} wrote {error}{cut}", again=True) from None
        asked.verdicts |= found
        model = str(endpoint.model)
        of_model = asked.by_model.setdefault(model, {})
        of_model |= found
        if self._cache is not None and model in asked.keys:  # else its name was not to be had before
            self._cache.put(asked.keys[model], of_model)
        if asked.missing:
            raise JudgeError(
                "malformed",
                f"{endpoint} wrote no verdict on criterion {', '.join(asked.missing)}",
                again=True,
            )

    async def _find_models(self) -> None:
        """The names of the models, without which nothing can be looked up."""
        for endpoint in self.endpoints:
            if not endpoint.rests:
                with contextlib.suppress(JudgeError):  # said when it is asked for a verdict
                    await endpoint.find_model()

    def _keys(self, subject: Subject, question: _Question) -> dict[str, str]:
        """What a question is cached under, by the model that answers it."""
        if self._cache is None:
            return {}
        return {
            str(endpoint.model): fingerprint(
                prompt.VERSION,
                prompt.INSTRUCTIONS,
                endpoint.model,
                self.config.output,
                self._sampling,
                question.vote,
                subject.digest,
                prompt.question(question.criteria),
            )
            for endpoint in self.endpoints
        }

    async def _look_up(self, asked: Sequence["_Asked"]) -> None:
        if self._cache is None:
            return
        cached = await self._cache.get([key for one in asked for key in one.keys.values()])
        for one in asked:
            for model, name in one.keys.items():
                if name in cached:
                    one.by_model[model] = cached[name]
                    one.verdicts = cached[name] | one.verdicts
            self.usage.cached += not one.missing

    def _slots_here(self) -> Slots:
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            self._slots[loop] = Slots(self._share)
        return self._slots[loop]


@dataclass
class _Asked:
    """A question on its way."""

    question: _Question
    keys: dict[str, str]
    """In the cache, by model."""
    verdicts: dict[str, float] = field(default_factory=dict)
    by_model: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same, by who gave them."""
    attempted: list[Endpoint] = field(default_factory=list)
    failure: str | None = None
    """Why the last attempt failed."""

    @property
    def missing(self) -> dict[str, Criterion]:
        return {name: one for name, one in self.question.criteria.items() if name not in self.verdicts}


def _judgement(votes: Sequence[tuple[float | None, str | None]]) -> Judgement:
    """The mean of the votes on one criterion, rather than their majority.

    A majority throws away how sure the judge is; a mean varies less, and one vote that flips moves it less,
    which is what a soft minimum needs.
    """
    truths = [truth for truth, _ in votes if truth is not None]
    if not truths:
        return Judgement(None, next((failure for _, failure in votes if failure), "malformed: no verdict"))
    pairs = [abs(a - b) for a, b in combinations(truths, 2)]
    return Judgement(fmean(truths), None, fmean(pairs) if pairs else None)
