"""A response and its criteria in, a judgement of each criterion out.

A criterion without a verdict has a cause instead, and the other verdicts stand. Failures of servers raise nothing.
"""

import asyncio
import contextlib
import hashlib
import json
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from statistics import fmean
from typing import Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge import prompt
from rvpo_verl.judge.ask import Asker, Question, Subject
from rvpo_verl.judge.call_log import CallLog
from rvpo_verl.judge.config import NO_ENDPOINTS, EndpointConfig, JudgeConfig
from rvpo_verl.judge.endpoint import Endpoints
from rvpo_verl.judge.failure import JudgeError
from rvpo_verl.judge.figures import Figures
from rvpo_verl.rubric import Criterion

REMEMBERED = 1024
"""Responses of which a process knows the judgements, so that equal ones are asked once."""


@dataclass(frozen=True)
class Judgement:
    """The result for one criterion."""

    truth: float | None
    """How far it is true, from 0 to 1: the mean of the votes that arrived. None without any."""
    failure: str | None = None
    """Why there is no vote, as `kind: endpoint and what happened`."""
    disagreement: float | None = None
    """Mean difference between two votes, 0 to 1. For true and false: how often two votes differ."""
    explanation: str | None = None
    """What the judge wrote before the verdict of its first vote, if it was asked to."""


class Judge:
    """Judges responses, in any event loop."""

    def __init__(
        self,
        config: JudgeConfig,
        *,
        reward_workers: int = 1,
        router_address: str | None = None,
        patient: bool = True,
        endpoints: Endpoints | None = None,
    ):
        """
        Args:
            config: the judge.
            reward_workers: processes that share its limit of calls in flight.
            router_address: `host:port` of the reward model that verl serves.
            patient: whether a server that does not answer is asked until the deadline, rather than `attempts` times.
            endpoints: of the process; its own if None.

        Raises:
            ConfigError: the configuration cannot work in this process.
        """
        configs, known = config.endpoints, endpoints or Endpoints()
        if configs is None and router_address is None:
            raise ConfigError(NO_ENDPOINTS)
        self.config = config
        self.endpoints = known.get(
            configs or [EndpointConfig(base_url=f"http://{router_address}/v1")],
            limit=config.limit,
            reward_workers=reward_workers,
            use_proxy=configs is not None,
        )
        self._asker = Asker(config, self.endpoints, patient=patient)
        self.forms = self._asker.forms
        self._log = CallLog(config.log)
        self._recent: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Recent] = (
            weakref.WeakKeyDictionary()
        )
        self._responses = count()

    async def judge(
        self,
        messages: Sequence[Mapping[str, Any]] | None,
        answer: str,
        criteria: Sequence[Criterion],
        *,
        figures: Figures | None = None,
        step: int | None = None,
    ) -> list[Judgement]:
        """A judgement of each criterion, in order.

        Args:
            messages: the conversation that the answer ends.
            answer: untrusted text.
            figures: what is counted is added there.
            step: of the training, for the log.
        """
        figures = Figures() if figures is None else figures
        recent = self._recent.setdefault(asyncio.get_running_loop(), _Recent())
        asked = json.dumps(
            [answer, list(messages or ()), [one.model_dump() for one in criteria]], default=str
        )
        key = hashlib.sha256(asked.encode()).digest()
        return await recent.get(key, lambda: self._judge(messages, answer, criteria, figures, step))

    async def _judge(
        self,
        messages: Sequence[Mapping[str, Any]] | None,
        answer: str,
        criteria: Sequence[Criterion],
        figures: Figures,
        step: int | None,
    ) -> list[Judgement]:
        per_response, votes = self.config.calls == "response", self.config.votes
        parts = [{"1": criterion} for criterion in criteria]
        if per_response:
            parts = [{str(number): criterion for number, criterion in enumerate(criteria, start=1)}]
        questions = [[Question(part) for _ in range(votes)] for part in parts]

        def subject() -> Subject:
            return Subject(
                prompt.subject(messages, answer, self.config.max_answer_chars),
                rank,
                figures,
                self._log if self._log.wants(answer) else None,
                {"step": step},
            )

        rank = next(self._responses)
        await self._ask_all(subject, [question for votes_ in questions for question in votes_])
        if per_response:
            return [_judgement(str(number), questions[0]) for number in range(1, len(criteria) + 1)]
        return [_judgement("1", votes_) for votes_ in questions]

    async def _ask_all(self, subject: Callable[[], Subject], questions: Sequence[Question]) -> None:
        tasks: list[asyncio.Task[None]] = []
        first = self._asker.choose(questions[0])
        with contextlib.suppress(JudgeError):  # which every question will report
            await self._asker.prepare(first)
        try:
            # After a rollout, many responses arrive at once. Each waits as one task, without its prompts built, until
            # there is room for a call. This wait can be long, and does not count toward the deadline.
            async with first.calls.start():
                of_response = subject()
                tasks += [asyncio.create_task(self._asker.ask(of_response, one)) for one in questions]
                await asyncio.sleep(0)  # the tasks queue before the next response may start
            await self._until_deadline(questions, tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _until_deadline(
        self, questions: Sequence[Question], tasks: Sequence["asyncio.Task[None]"]
    ) -> None:
        _, pending = await asyncio.wait(tasks, timeout=self.config.deadline)
        for question, task in zip(questions, tasks, strict=True):
            if task in pending:
                last = question.failure or f"deadline: nothing yet from {self._asker.choose(question)}"
                question.failure = f"{last}; no verdict within {self.config.deadline:g} s"
            else:
                task.result()  # raises if there is a bug; a JudgeError is in question.failure


class _Recent:
    """Judgements of the latest responses in one event loop, and of those that are being judged."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, asyncio.Future[list[Judgement]]] = OrderedDict()

    async def get(self, key: bytes, judge: Callable[[], Awaitable[list[Judgement]]]) -> list[Judgement]:
        while key in self._known:
            known = self._known[key]
            try:
                return await asyncio.shield(known)
            except asyncio.CancelledError:
                if not known.cancelled():  # it is this response that was cancelled
                    raise
        future = self._known[key] = asyncio.get_running_loop().create_future()
        try:
            judgements = await judge()
        except BaseException:
            del self._known[key]
            future.cancel()
            raise
        future.set_result(judgements)
        if any(judgement.failure for judgement in judgements):
            del self._known[key]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return judgements


def _judgement(key: str, votes: Sequence[Question]) -> Judgement:
    """The mean of the votes on one criterion.

    Not their majority: the mean keeps how sure the judge is, and a single vote that flips moves it less, which
    matters to a soft minimum.
    """
    truths = [vote.verdicts[key] for vote in votes if key in vote.verdicts]
    if not truths:
        failure = next((vote.failure for vote in votes if vote.failure), "malformed: no verdict")
        return Judgement(None, failure)
    differences = [abs(a - b) for a, b in combinations(truths, 2)]
    explanations = [vote.explanations[key] for vote in votes if key in vote.explanations]
    return Judgement(
        fmean(truths),
        None,
        fmean(differences) if differences else None,
        explanations[0] if explanations else None,
    )
