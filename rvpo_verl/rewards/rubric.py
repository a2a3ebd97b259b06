"""The reward `rubric`: each criterion of the row's rubric is a reward of its own, judged by a language model."""

import asyncio
import gc
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.score import Score
from rvpo_verl.schema import parse

if TYPE_CHECKING:
    from rvpo_verl.judge.judge import Judge

logger = logging.getLogger("rvpo_verl.rewards")

WHERE = "kwargs.judge"
NO_ADDRESS_YET = "not-yet-known:0"


async def rubric(
    response: str,
    messages: list[dict[str, Any]] | None,
    extra_info: Mapping[str, Any],
    reward_router_address: str | None = None,
    reward_workers: int = 1,
    *,
    judge: Mapping[str, Any],
) -> dict[str, Score]:
    """A score for each criterion of `extra_info["rubric"]`, under `CATEGORY/NUMBER`.

    1 is good and 0 is bad, whatever the polarity of the criterion. A verdict that could not be had is missing.

    Args:
        judge: `rvpo_verl.judge.config.JudgeConfig`.

    Raises:
        ValueError: the row has no rubric that can be judged.
        ConfigError: the judge's configuration cannot work.
    """
    from rvpo_verl.rubric import names, read_rubric

    criteria = read_rubric(extra_info)
    asked = _judge(_frozen(judge), reward_workers, reward_router_address)
    judgements = await asked.judge(messages, response, criteria)
    return {
        name: Score(
            None if judgement.truth is None else criterion.reward(judgement.truth),
            criterion.weight,
            judgement.failure,
            judgement.disagreement,
        )
        for name, criterion, judgement in zip(names(criteria), criteria, judgements, strict=True)
    }


def _before_training(
    kwargs: Mapping[str, Any], *, timeout: float | None, reward_workers: int, hosted: bool
) -> None:
    """Asks the judge once, before anything is loaded.

    Raises:
        ConfigError: the configuration cannot work, or no endpoint gives a verdict; with what each of them said.
    """
    if timeout is not None:
        raise ConfigError(
            f"timeout={timeout:g} would end the judging of a response and lose the verdicts that arrived. Set "
            f"timeout: null; {WHERE}.deadline limits it and keeps them"
        )
    judge = _judge(_frozen(kwargs.get("judge", {})), reward_workers, NO_ADDRESS_YET if hosted else None)
    if judge.config.endpoints is None:
        logger.warning(
            "the judge that verl serves starts with the training: whether it answers shows at its first verdicts"
        )
        return

    from rvpo_verl.judge.check import first_verdicts

    # In a thread of its own: the caller may be inside of an event loop.
    with ThreadPoolExecutor(1) as thread:
        outcomes = thread.submit(lambda: asyncio.run(first_verdicts(judge.config))).result()
    failures = [failure for _, failure in outcomes if failure is not None]
    if len(failures) == len(outcomes):
        raise ConfigError(
            f"the judge gives no verdict, so that nothing could be trained: {'; '.join(failures)}. "
            "`rvpo-verl judge check` asks it in the same way"
        )
    for failure in failures:
        logger.warning(
            "one endpoint of the judge gives no verdict; the others are asked instead: %s", failure
        )


rubric.before_training = _before_training


def _frozen(judge: Mapping[str, Any]) -> str:
    return json.dumps(judge, sort_keys=True, default=dict)


@lru_cache(maxsize=8)
def _judge(frozen: str, reward_workers: int, router_address: str | None) -> "Judge":
    """One judge for all responses of a process: they share its limit, its connections and its cache."""
    try:
        from rvpo_verl.judge.judge import Judge
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'a rubric needs {error.name}, which is not installed: pip install "rvpo-verl[judge]"'
        ) from None
    from rvpo_verl.judge.config import JudgeConfig

    config = parse(JudgeConfig, json.loads(frozen), WHERE)
    # A process that imported verl holds 400,000 objects for good. To look through them again and again,
    # for the many short-lived ones of these calls, costs as much time as the calls.
    gc.freeze()
    try:
        return Judge(config, reward_workers=reward_workers, router_address=router_address)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{WHERE}: {error}") from None
