"""The reward `rubric`: each criterion of the row's rubric is a separate reward, judged by a language model."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.config import NO_ENDPOINTS, JudgeConfig
from rvpo_verl.rewards.protocol import RunContext
from rvpo_verl.rewards.score import Score
from rvpo_verl.rubric import COLUMN, names, read_rubric
from rvpo_verl.schema import parse

if TYPE_CHECKING:
    from rvpo_verl.judge.judge import Judge

KEY = "kwargs.judge"


class Rubric:
    """A score per criterion of `extra_info["rubric"]`, judged by a language model."""

    async def __call__(
        self,
        response: str,
        messages: list[dict[str, Any]] | None,
        extra_info: Mapping[str, Any],
        reward_router_address: str | None = None,
        reward_workers: int = 1,
        turns: Sequence[Mapping[str, Any]] = (),
        *,
        judge: Mapping[str, Any],
    ) -> dict[str, Score]:
        """Scores by `CATEGORY/NUMBER`: 1 is good and 0 is bad, whatever the polarity. Failed verdicts are missing.

        Of several turns the last one that the model wrote is the answer; the turns before it, with what tools returned,
        are the end of the conversation.

        Args:
            judge: `rvpo_verl.judge.config.JudgeConfig`.

        Raises:
            UserError: the row has no rubric that can be judged.
            ConfigError: the judge's configuration cannot work.
        """
        criteria = read_rubric(extra_info)
        language_model = _judge(_frozen(judge), reward_workers, reward_router_address)
        before = max((n for n, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
        if before:
            messages, response = [*(messages or ()), *turns[:before]], turns[before]["content"]
        judgements = await language_model.judge(messages, response, criteria)
        return {
            name: Score(
                None if judgement.truth is None else criterion.reward(judgement.truth),
                criterion.weight,
                judgement.failure,
                judgement.disagreement,
            )
            for name, criterion, judgement in zip(names(criteria), criteria, judgements, strict=True)
        }

    def validate(self, kwargs: Mapping[str, Any], run: RunContext) -> None:
        """
        Raises:
            ConfigError: the judge's configuration cannot work in this run.
        """
        if run.timeout is not None:
            raise ConfigError(
                f"timeout={run.timeout:g} would end the judging of a response and lose the verdicts that arrived. "
                f"Set timeout: null; {KEY}.deadline limits the time and keeps them"
            )
        config = _config(kwargs)
        if config.endpoints is None and not run.serves_reward_model:
            raise ConfigError(f"{KEY}.{NO_ENDPOINTS}")
        try:
            config.share(run.reward_workers)
        except ConfigError as error:
            raise ConfigError(f"{KEY}: {error}") from None

    def probe(self, kwargs: Mapping[str, Any], run: RunContext) -> list[str]:
        """Asks every endpoint of the judge for one verdict.

        Returns:
            A warning for each endpoint that gives no verdict.

        Raises:
            ConfigError: no endpoint gives a verdict; with what each of them answered.
        """
        if _config(kwargs).endpoints is None:
            return [
                "the judge that verl serves starts with the training, so it was not asked for a verdict yet"
            ]
        judge = _judge(_frozen(kwargs["judge"]), run.reward_workers, None)
        from rvpo_verl.judge.check import first_verdicts

        # In another thread, because the caller may run inside an event loop.
        with ThreadPoolExecutor(1) as thread:
            outcomes = thread.submit(lambda: asyncio.run(first_verdicts(judge.config))).result()
        failures = [failure for failure in outcomes if failure is not None]
        if len(failures) == len(outcomes):
            raise ConfigError(
                f"the judge gives no verdict: {'; '.join(failures)}. `rvpo-verl judge check` asks it in the same way"
            )
        return [
            f"one endpoint of the judge gives no verdict; the others are used: {failure}"
            for failure in failures
        ]

    def required_columns(self, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"extra_info.{COLUMN}",)

    def calls_per_response(self, kwargs: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        """Calls to the judge, without retries.

        Raises:
            UserError: the row has no rubric that can be judged.
        """
        config = _config(kwargs)
        if config.calls == "response":
            return config.votes
        return config.votes * len(read_rubric(row.get("extra_info") or {}))


rubric = Rubric()


def _config(kwargs: Mapping[str, Any]) -> JudgeConfig:
    return parse(JudgeConfig, kwargs.get("judge", {}), KEY)


def _frozen(judge: Mapping[str, Any]) -> str:
    return json.dumps(judge, sort_keys=True, default=dict)


@lru_cache(maxsize=8)
def _judge(frozen: str, reward_workers: int, router_address: str | None) -> "Judge":
    """One judge for all responses of a process, so that they share its limit and its connections."""
    try:
        from rvpo_verl.judge.judge import Judge
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'a rubric needs {error.name}, which is not installed: pip install "rvpo-verl[judge]"'
        ) from None
    config = parse(JudgeConfig, json.loads(frozen), KEY)
    try:
        return Judge(config, reward_workers=reward_workers, router_address=router_address)
    except ConfigError as error:
        raise ConfigError(f"{KEY}: {error}") from None
