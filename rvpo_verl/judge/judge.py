"""A response and its criteria in, a judgement of each criterion out.

A criterion without a verdict has a cause instead, and the other verdicts stand. Failures of servers raise nothing.
"""

import asyncio
import logging
import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, count
from statistics import fmean
from typing import Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge import prompt, verdict
from rvpo_verl.judge.config import NO_ENDPOINTS, EndpointConfig, JudgeConfig
from rvpo_verl.judge.endpoint import Completion, Endpoint, JudgeError
from rvpo_verl.judge.limits import CallLimit
from rvpo_verl.rubric import Criterion

logger = logging.getLogger("rvpo_verl.judge")

MAX_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True)
class Judgement:
    """The result for one criterion."""

    truth: float | None
    """How far it is true, from 0 to 1: the mean of the votes that arrived. None without any."""
    failure: str | None = None
    """Why there is no vote, as `kind: endpoint and what happened`."""
    disagreement: float | None = None
    """Mean difference between two votes, 0 to 1. For true and false: how often two votes differ."""


@dataclass
class Usage:
    """Completions received by this judge, and their tokens."""

    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def copy(self) -> "Usage":
        return replace(self)


@dataclass
class _Question:
    """The criteria that one call asks about, and the state of that call and its retries."""

    criteria: Mapping[str, Criterion]
    """By their key in the judge's JSON object."""
    verdicts: dict[str, float] = field(default_factory=dict)
    attempted: list[Endpoint] = field(default_factory=list)
    failure: str | None = None
    """Why the last attempt failed."""

    @property
    def missing(self) -> dict[str, Criterion]:
        return {key: criterion for key, criterion in self.criteria.items() if key not in self.verdicts}


class Judge:
    """Judges responses, in any event loop."""

    def __init__(self, config: JudgeConfig, *, reward_workers: int = 1, router_address: str | None = None):
        """
        Args:
            config: the judge.
            reward_workers: processes that share its limit of calls in flight.
            router_address: `host:port` of the reward model that verl serves.

        Raises:
            ConfigError: the configuration cannot work in this process.
        """
        if config.endpoints is not None:
            self.endpoints = [Endpoint(endpoint, config.timeout) for endpoint in config.endpoints]
        elif router_address is not None:
            router = EndpointConfig(base_url=f"http://{router_address}/v1")
            self.endpoints = [Endpoint(router, config.timeout, use_proxy=False)]
        else:
            raise ConfigError(NO_ENDPOINTS)
        for endpoint in self.endpoints:
            endpoint.without_schema = config.output == "text"
        self.config = config
        self.usage = Usage()
        self._share = config.share(reward_workers)
        self._limits: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, CallLimit] = (
            weakref.WeakKeyDictionary()
        )
        self._responses = count()
        sampling = {"temperature": config.temperature, "max_tokens": config.max_tokens}
        self._sampling = {name: value for name, value in sampling.items() if value is not None}

    async def judge(
        self, messages: Sequence[Mapping[str, Any]] | None, answer: str, criteria: Sequence[Criterion]
    ) -> list[Judgement]:
        """A judgement of each criterion, in order.

        Args:
            messages: the conversation that the answer ends.
            answer: untrusted text.
        """
        per_response, votes = self.config.calls == "response", self.config.votes
        parts = [{"1": criterion} for criterion in criteria]
        if per_response:
            parts = [{str(number): criterion for number, criterion in enumerate(criteria, start=1)}]
        questions = [[_Question(part) for _ in range(votes)] for part in parts]
        await self._ask_all(messages, answer, [question for votes_ in questions for question in votes_])
        if per_response:
            return [_judgement(str(number), questions[0]) for number in range(1, len(criteria) + 1)]
        return [_judgement("1", votes_) for votes_ in questions]

    async def _ask_all(
        self, messages: Sequence[Mapping[str, Any]] | None, answer: str, questions: Sequence[_Question]
    ) -> None:
        rank, limit = next(self._responses), self._limit_of_loop()
        tasks: list[asyncio.Task[None]] = []
        try:
            # After a rollout, many responses arrive at once. Each waits as one task, without its prompts built, until
            # a slot is free. This wait can be long, and does not count toward the deadline.
            async with limit.start, limit.slot(rank):
                subject = prompt.subject(messages, answer, self.config.max_answer_chars)
                tasks += [asyncio.create_task(self._ask(subject, one, rank, limit)) for one in questions]
                await asyncio.sleep(0)  # the tasks queue before the slot is released
            await self._until_deadline(questions, tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _until_deadline(
        self, questions: Sequence[_Question], tasks: Sequence["asyncio.Task[None]"]
    ) -> None:
        _, pending = await asyncio.wait(tasks, timeout=self.config.deadline)
        for question, task in zip(questions, tasks, strict=True):
            if task in pending:
                last = question.failure or f"nothing yet from {self._choose(question.attempted)}"
                question.failure = f"deadline: no verdict within {self.config.deadline:g} s; last was {last}"
            else:
                task.result()  # raises if there is a bug; a JudgeError is in question.failure

    async def _ask(self, subject: str, question: _Question, rank: int, limit: CallLimit) -> None:
        """Asks until there is a verdict on every criterion. A retry asks only about the missing ones."""
        for attempt in range(1, self.config.attempts + 1):
            try:
                await self._attempt(subject, question, rank, limit)
                return
            except JudgeError as error:
                question.failure = error.cause
                if not error.retryable or attempt == self.config.attempts:
                    return
                pause = self._pause(attempt, error, question.attempted)
            await asyncio.sleep(pause)

    async def _attempt(self, subject: str, question: _Question, rank: int, limit: CallLimit) -> None:
        endpoint = self._choose(question.attempted)
        question.attempted.append(endpoint)
        body = {
            "messages": [
                {"role": "system", "content": prompt.INSTRUCTIONS},
                {"role": "user", "content": subject + prompt.question(question.missing)},
            ],
            **self._sampling,
            **self.config.extra_body,
        }
        schema = None if endpoint.without_schema else verdict.response_format(question.missing)
        # Encoded before the wait, so that a slot is not idle meanwhile.
        request = await endpoint.encode(body if schema is None else body | {"response_format": schema})
        async with limit.slot(rank):
            completion = await self._complete(endpoint, request, None if schema is None else body)
        self._read(endpoint, completion, question)

    def _choose(self, attempted: Sequence[Endpoint]) -> Endpoint:
        """The endpoint of the next attempt: first those not in cooldown, then the least attempted, then by order."""
        return min(self.endpoints, key=lambda endpoint: (endpoint.in_cooldown, attempted.count(endpoint)))

    def _pause(self, attempt: int, error: JudgeError, attempted: Sequence[Endpoint]) -> float:
        """Seconds until the next attempt; 0 if it goes to an endpoint that was not asked yet."""
        if self._choose(attempted) not in attempted:
            return 0.0
        longest = min(MAX_BACKOFF_SECONDS, self.config.backoff * 2 ** (attempt - 1))
        return max(error.retry_after, random.uniform(0, longest))

    async def _complete(
        self, endpoint: Endpoint, request: bytes, without_schema: Mapping[str, Any] | None
    ) -> Completion:
        """The completion of a request. If its schema is refused, the completion of the request without it."""
        try:
            return await endpoint.complete(request)
        except JudgeError as error:
            if without_schema is None or self.config.output != "auto" or error.status not in (400, 422):
                raise
            try:
                completion = await endpoint.complete(await endpoint.encode(without_schema))
            except JudgeError:
                raise error from None  # the schema was not the reason
            if not endpoint.without_schema:
                endpoint.without_schema = True
                logger.warning(
                    "%s accepts no JSON schema (%s): the form of verdicts is requested in the prompt only",
                    endpoint,
                    error,
                )
            return completion

    def _read(self, endpoint: Endpoint, completion: Completion, question: _Question) -> None:
        self.usage.completions += 1
        self.usage.tokens_in += completion.tokens_in
        self.usage.tokens_out += completion.tokens_out
        try:
            question.verdicts |= verdict.read_verdicts(completion.text, question.missing)
        except verdict.MalformedError as error:
            cut = ", cut off at max_tokens" if completion.finish_reason == "length" else ""
            raise JudgeError("malformed", f"{endpoint} wrote {error}{cut}") from None
        if question.missing:
            missing = ", ".join(question.missing)
            raise JudgeError("malformed", f"{endpoint} wrote no verdict on criterion {missing}")

    def _limit_of_loop(self) -> CallLimit:
        return self._limits.setdefault(asyncio.get_running_loop(), CallLimit(self._share))


def _judgement(key: str, votes: Sequence[_Question]) -> Judgement:
    """The mean of the votes on one criterion.

    Not their majority: the mean keeps how sure the judge is, and a single vote that flips moves it less, which
    matters to a soft minimum.
    """
    truths = [vote.verdicts[key] for vote in votes if key in vote.verdicts]
    if not truths:
        return Judgement(
            None, next((vote.failure for vote in votes if vote.failure), "malformed: no verdict")
        )
    differences = [abs(a - b) for a, b in combinations(truths, 2)]
    return Judgement(fmean(truths), None, fmean(differences) if differences else None)
