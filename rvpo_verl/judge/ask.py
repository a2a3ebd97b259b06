"""Asks one question of the endpoints until there is a verdict on every criterion, or none that could give one."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rvpo_verl.judge import prompt, verdict
from rvpo_verl.judge.call_log import CallLog
from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.endpoint import Endpoint
from rvpo_verl.judge.failure import JudgeError
from rvpo_verl.judge.figures import Figures
from rvpo_verl.judge.reply import Completion
from rvpo_verl.rubric import Criterion

logger = logging.getLogger("rvpo_verl.judge")

MAX_BACKOFF_SECONDS = 8.0
FORM_MAY_BE_REFUSED = (400, 404, 415, 422, 500, 501)
"""HTTP statuses with which servers refuse a form of verdicts that they do not know."""
PLAIN = {"1": Criterion(criterion="The answer consists of a single word.")}
"""A question that nothing but its form can be refused for."""


@dataclass
class Subject:
    """What the questions about one response have in common."""

    text: str
    """The beginning of each prompt."""
    rank: int
    """Number of the response; calls of the lowest go first."""
    figures: Figures
    log: CallLog | None = None
    """Where the calls are written, if this response was chosen for it."""
    logged: Mapping[str, Any] = field(default_factory=dict)
    """What is written with each call."""


@dataclass
class Question:
    """The criteria that one call asks about, and the state of that call and its retries."""

    criteria: Mapping[str, Criterion]
    """By their key in the judge's JSON object."""
    verdicts: dict[str, float] = field(default_factory=dict)
    explanations: dict[str, str] = field(default_factory=dict)
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


class Asker:
    """Asks the endpoints of one judge."""

    def __init__(self, config: JudgeConfig, endpoints: Sequence[Endpoint], *, patient: bool):
        """
        Args:
            patient: whether a server that does not answer is asked until the deadline, rather than `attempts` times.
        """
        self.config, self.endpoints = config, endpoints
        self.forms: dict[Endpoint, str] = {}
        """How each endpoint is asked for verdicts, one of `verdict.FORMS`, once that is known."""
        if config.output != "auto":
            self.forms = dict.fromkeys(endpoints, config.output)
        self._refusals: dict[Endpoint, dict[str, JudgeError]] = {}
        """By form, where a limit of the rate interrupted the search for one that the endpoint accepts."""
        self._patient = patient and config.attempts > 1
        sampling = {"temperature": config.temperature, "max_tokens": config.max_tokens}
        self._sampling = {name: value for name, value in sampling.items() if value is not None}

    async def ask(self, subject: Subject, question: Question) -> None:
        """What may pass (a limit of the rate, an error of the server, a lost connection) is waited for until the
        deadline of the response. A reply that cannot be read is asked for again `attempts` times, at temperature 0
        not of the same endpoint. What an endpoint refuses is asked of the next.
        """
        attempt = 0
        while any(endpoint not in question.refused_by for endpoint in self.endpoints):
            attempt += 1
            endpoint = self.choose(question)
            question.attempted.append(endpoint)
            asked = len(question.missing)
            try:
                await self._attempt(endpoint, subject, question)
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
                again = self.choose(question)
                # Where the endpoint's limit makes all calls wait, this one needs no pause of its own.
                if (
                    error.retryable
                    and not unreadable
                    and again in question.attempted
                    and not again.calls.paused
                ):
                    longest = min(MAX_BACKOFF_SECONDS, self.config.backoff * 2 ** min(attempt - 1, 10))
                    await asyncio.sleep(random.uniform(0, longest))

    def choose(self, question: Question) -> Endpoint:
        """The endpoint of the next attempt: first those not in cooldown, then the least attempted, then by order."""
        return min(
            (endpoint for endpoint in self.endpoints if endpoint not in question.refused_by),
            key=lambda endpoint: (endpoint.in_cooldown, question.attempted.count(endpoint)),
            default=self.endpoints[0],
        )

    async def _attempt(self, endpoint: Endpoint, subject: Subject, question: Question) -> None:
        """
        Raises:
            JudgeError: a verdict is missing.
        """
        form = await self.prepare(endpoint)
        asked, figures = question.missing, subject.figures
        text = subject.text + prompt.question(asked, explain=self.config.explanations)
        request = await endpoint.encode(self._body(text, asked, form))
        figures.calls += 1
        figures.retries += len(question.attempted) > 1
        started, completion, failure = time.monotonic(), None, None
        try:
            completion = await endpoint.complete(request, self.config.timeout, subject.rank)
            self._read(endpoint, completion, question)
        except JudgeError as error:
            failure = error
            raise
        finally:
            self._record(subject, endpoint, question, asked, text, completion, failure, started)

    def _read(self, endpoint: Endpoint, completion: Completion, question: Question) -> None:
        try:
            question.verdicts |= verdict.read_verdicts(completion.text, question.missing)
        except verdict.MalformedError as error:
            raise JudgeError("malformed", f"{endpoint} wrote {endpoint.hide_keys(str(error))}") from None
        if self.config.explanations:
            question.explanations |= verdict.read_explanations(completion.text, question.criteria)
        if question.missing:
            missing = ", ".join(question.missing)
            raise JudgeError("malformed", f"{endpoint} wrote no verdict on criterion {missing}")

    def _record(
        self,
        subject: Subject,
        endpoint: Endpoint,
        question: Question,
        asked: Mapping[str, Criterion],
        text: str,
        completion: Completion | None,
        failure: JudgeError | None,
        started: float,
    ) -> None:
        """Counts a call, and writes it to the log."""
        figures, seconds = subject.figures, round(time.monotonic() - started, 3)
        reply, tokens = (failure.reply, failure.tokens) if failure else (None, (0, 0))
        if completion is not None:
            reply, tokens = completion.text, (completion.tokens_in, completion.tokens_out)
            figures.latency.append(completion.seconds)
        figures.tokens_in += tokens[0]
        figures.tokens_out += tokens[1]
        if subject.log is not None:
            cause = "cancelled: the deadline was over" if completion is None else None
            verdicts = {key: question.verdicts.get(key) for key in asked}
            subject.log.write(
                **subject.logged,
                endpoint=str(endpoint),
                prompt=text,
                reply=None if reply is None else endpoint.hide_keys(reply),
                verdict=verdicts["1"] if list(verdicts) == ["1"] else verdicts,
                cause=failure.cause if failure else cause,
                tokens_in=tokens[0],
                tokens_out=tokens[1],
                latency=completion.seconds if completion else None,
                seconds=seconds,
            )

    def _body(self, text: str, criteria: Mapping[str, Criterion], form: str) -> dict[str, Any]:
        messages = [
            {"role": "system", "content": prompt.INSTRUCTIONS},
            {"role": "user", "content": text},
        ]
        wanted = verdict.response_format(criteria, form, explain=self.config.explanations)
        return {"messages": messages, **self._sampling, **self.config.extra_body, **wanted}

    async def prepare(self, endpoint: Endpoint) -> str:
        """The form in which the endpoint gives verdicts.

        Raises:
            JudgeError: the server cannot be asked now, or accepts no form.
        """
        if endpoint not in self.forms:
            self.forms[endpoint] = await endpoint.finding_form(lambda: self._find_form(endpoint))
        return self.forms[endpoint]

    async def _find_form(self, endpoint: Endpoint) -> str:
        """Asks a plain question in each form, until one is accepted.

        Before the first question, and not when one is refused: one refusal says nothing, and many would be sent
        meanwhile.
        """
        text = prompt.subject(None, "Yes", self.config.max_answer_chars)
        text += prompt.question(PLAIN, explain=self.config.explanations)
        refusals = self._refusals.pop(endpoint, {})
        for form in verdict.FORMS:
            if form in refusals:
                continue
            request = await endpoint.encode(self._body(text, PLAIN, form))
            try:
                await endpoint.complete(request, self.config.timeout)
            except JudgeError as error:
                if error.status in FORM_MAY_BE_REFUSED and form != verdict.FORMS[-1]:
                    refusals[form] = error
                    continue
                if error.kind == "rate_limited":
                    # The next attempt goes on with this form. LiteLLM counts a refusal as a failure of the model's
                    # server and may then answer 429 for a while: refused again, it would do so each time.
                    self._refusals[endpoint] = refusals
                if error.status is not None or error.kind in ("connection", "timeout"):
                    raise error if error.retryable else next(iter(refusals.values()), error) from None
            break
        refusal = next(iter(refusals.values()), None)
        if refusal is not None:
            logger.warning(
                "%s accepts no JSON schema (%s): verdicts are requested in the form %r",
                endpoint,
                refusal,
                form,
            )
        return form
