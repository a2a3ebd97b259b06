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

MAX_BACKOFF_SECONDS = 8.0
FORM_MAY_BE_REFUSED = (400, 404, 415, 422, 500, 501)
"""HTTP statuses with which servers refuse a form of verdicts that they do not know."""
PLAIN = {"1": Criterion(criterion="The answer consists of a single word.")}
"""A question that nothing but its form can be refused for."""


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
    refused_by: set[Endpoint] = field(default_factory=set)
    """Endpoints that would not answer it in another attempt either."""
    unreadable: int = 0
    """Replies without the verdicts that were asked for."""
    failure: str | None = None
    """Why the last attempt failed."""

    @property
    def missing(self) -> dict[str, Criterion]:
        return {key: criterion for key, criterion in self.criteria.items() if key not in self.verdicts}


class Judge:
    """Judges responses, in any event loop."""

    def __init__(
        self,
        config: JudgeConfig,
        *,
        reward_workers: int = 1,
        router_address: str | None = None,
        patient: bool = True,
    ):
        """
        Args:
            config: the judge.
            reward_workers: processes that share its limit of calls in flight.
            router_address: `host:port` of the reward model that verl serves.
            patient: whether a server that does not answer is asked until the deadline, rather than `attempts` times.

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
            if config.output != "auto":
                endpoint.form, endpoint.form_is_known = config.output, True
        self.config = config
        self._patient = patient and config.attempts > 1
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
                last = question.failure or f"deadline: nothing yet from {self._choose(question)}"
                question.failure = f"{last}; no verdict within {self.config.deadline:g} s"
            else:
                task.result()  # raises if there is a bug; a JudgeError is in question.failure

    async def _ask(self, subject: str, question: _Question, rank: int, limit: CallLimit) -> None:
        """Asks until there is a verdict on every criterion, or no endpoint that could give one.

        What may pass (a limit of the rate, an error of the server, a lost connection) is waited for until the deadline
        of the response. A reply that cannot be read is asked for again `attempts` times, at temperature 0 not
        by the same endpoint. What an endpoint refuses is asked of the next.
        """
        attempt = 0
        while any(endpoint not in question.refused_by for endpoint in self.endpoints):
            attempt += 1
            endpoint = self._choose(question)
            question.attempted.append(endpoint)
            asked = len(question.missing)
            try:
                await self._attempt(endpoint, subject, question, rank, limit)
                return
            except JudgeError as error:
                question.failure = error.cause
                unreadable = error.kind == "malformed"
                question.unreadable += unreadable
                unchanged = unreadable and self.config.temperature == 0 and len(question.missing) == asked
                if not error.retryable or unchanged:
                    question.refused_by.add(endpoint)
                if question.unreadable >= self.config.attempts:
                    return
                if not self._patient and attempt >= self.config.attempts * len(self.endpoints):
                    return
                if error.retryable and not unreadable:
                    longest = min(MAX_BACKOFF_SECONDS, self.config.backoff * 2 ** min(attempt - 1, 10))
                    pause = max(error.retry_after, random.uniform(0, longest))
                    if error.kind == "rate_limited":
                        endpoint.pause(error.retry_after)
                    if self._choose(question) in question.attempted:
                        await asyncio.sleep(pause)

    async def _attempt(
        self, endpoint: Endpoint, subject: str, question: _Question, rank: int, limit: CallLimit
    ) -> None:
        # Encoded before the wait, so that a slot is not idle meanwhile.
        form, request = endpoint.form, await endpoint.encode(self._body(endpoint, subject, question.missing))
        await endpoint.ready()
        async with limit.slot(rank):
            try:
                completion = await endpoint.complete(request)
            except JudgeError as error:
                if endpoint.form_is_known or error.status not in FORM_MAY_BE_REFUSED:
                    raise
                async with limit.probe:
                    await self._find_form(endpoint)
                if endpoint.form == form:
                    raise  # its form was not the reason
                completion = await endpoint.complete(
                    await endpoint.encode(self._body(endpoint, subject, question.missing))
                )
        endpoint.form_is_known = True
        self._read(endpoint, completion, question)

    def _body(self, endpoint: Endpoint, subject: str, criteria: Mapping[str, Criterion]) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": prompt.INSTRUCTIONS},
            {"role": "user", "content": subject + prompt.question(criteria)},
        ]
        form = verdict.response_format(criteria, endpoint.form)
        return {"messages": messages, **self._sampling, **self.config.extra_body, **form}

    async def _find_form(self, endpoint: Endpoint) -> None:
        """Asks a plain question in each form and keeps the first that is accepted: one refusal says nothing."""
        if endpoint.form_is_known:
            return
        subject, before = prompt.subject(None, "Yes", self.config.max_answer_chars), endpoint.form
        for form in verdict.FORMS:
            endpoint.form = form
            try:
                await endpoint.complete(await endpoint.encode(self._body(endpoint, subject, PLAIN)))
            except JudgeError as error:
                refusal = error
                continue
            endpoint.form_is_known = True
            if form != verdict.FORMS[0]:
                logger.warning(
                    "%s accepts no JSON schema (%s): verdicts are requested as %s", endpoint, refusal, form
                )
            return
        endpoint.form = before

    def _choose(self, question: _Question) -> Endpoint:
        """The endpoint of the next attempt: first those not in cooldown, then the least attempted, then by order."""
        return min(
            (endpoint for endpoint in self.endpoints if endpoint not in question.refused_by),
            key=lambda endpoint: (endpoint.in_cooldown, question.attempted.count(endpoint)),
            default=self.endpoints[0],
        )

    def _read(self, endpoint: Endpoint, completion: Completion, question: _Question) -> None:
        self.usage.completions += 1
        self.usage.tokens_in += completion.tokens_in
        self.usage.tokens_out += completion.tokens_out
        try:
            question.verdicts |= verdict.read_verdicts(completion.text, question.missing)
        except verdict.MalformedError as error:
            raise JudgeError("malformed", f"{endpoint} wrote {error}") from None
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
