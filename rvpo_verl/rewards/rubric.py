"""The reward `rubric`: each criterion of the row's rubric is a separate reward, judged by a language model."""

import asyncio
import importlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.config import NO_ENDPOINTS, JudgeConfig, category_of, parse_judges
from rvpo_verl.judge.figures import Figures
from rvpo_verl.rewards.protocol import RunContext
from rvpo_verl.rewards.score import Score, Scores
from rvpo_verl.rubric import COLUMN, names, read_rubric

if TYPE_CHECKING:
    from rvpo_verl.judge.endpoint import Endpoints
    from rvpo_verl.judge.panel import Panels

__all__ = ["Rubric", "rubric"]

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
        turns: Sequence[dict[str, Any]] = (),
        global_step: int | None = None,
        *,
        judge: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    ) -> Scores:
        """Scores by `CATEGORY/NUMBER`: 1 is good and 0 is bad, for both polarities. Failed verdicts are missing.

        Of several turns the last one that the model wrote is the answer; the turns before it, with what tools returned,
        are the end of the conversation.

        Args:
            judge: `rvpo_verl.judge.config.JudgeConfig`, a list of them, or one of these for each of several categories.

        Raises:
            UserError: the row has no rubric that can be judged.
            ConfigError: the judge's configuration cannot work.
        """
        criteria, figures = read_rubric(extra_info), Figures()
        before = max((n for n, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
        if before:
            messages, response = [*(messages or ()), *map(dict, turns[:before])], turns[before]["content"]
        judges = _judges(_frozen(judge), reward_workers, reward_router_address)
        judgements = await judges.judge(messages, response, criteria, figures=figures, step=global_step)
        scores: dict[str, Score | str] = {}
        for name, criterion, judgement in zip(names(criteria), criteria, judgements, strict=True):
            scores[name] = Score(
                None if judgement.truth is None else criterion.reward(judgement.truth),
                criterion.weight,
                judgement.failure,
                judgement.disagreement,
            )
            if judgement.explanation:
                scores[f"{name}/explanation"] = judgement.explanation
        return Scores(scores, vars(figures))

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
        without = [config for config in _configs(kwargs) if config.endpoints is None]
        if without and not run.serves_reward_model:
            raise ConfigError(f"{KEY}.{NO_ENDPOINTS}")

    def probe(self, kwargs: Mapping[str, Any], run: RunContext) -> list[str]:
        """Asks every endpoint of every judge for one verdict.

        Returns:
            A warning for each endpoint that gives no verdict.

        Raises:
            ConfigError: no endpoint of a judge gives a verdict; with what each of them answered.
        """
        return list(dict.fromkeys(line for config in _configs(kwargs) for line in _probe(config)))

    def required_columns(self, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """The criteria."""
        return (f"extra_info.{COLUMN}",)

    def calls_per_response(self, kwargs: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        """Calls to the judges, without retries.

        Raises:
            UserError: the row has no rubric that can be judged.
        """
        panels = parse_judges(kwargs.get("judge", {}), KEY)
        extra_info = row.get("extra_info") or {}
        if len(panels) == 1 and all(config.calls == "response" for config in _configs(kwargs)):
            return sum(config.votes for config in _configs(kwargs))
        counts = Counter(category_of(criterion, panels) for criterion in read_rubric(extra_info))
        return sum(
            config.votes * (1 if config.calls == "response" else count)
            for category, count in counts.items()
            for config in panels[category]
        )


rubric = Rubric()
"""The reward."""


def _probe(config: JudgeConfig) -> list[str]:
    if config.endpoints is None:
        return ["the judge that verl serves starts with the training, so it was not asked for a verdict yet"]
    first_verdicts = _needed("check").first_verdicts
    # In another thread, because the caller may run inside an event loop.
    with ThreadPoolExecutor(1) as thread:
        outcomes = thread.submit(lambda: asyncio.run(first_verdicts(config))).result()
    failures = [failure for failure in outcomes if failure is not None]
    if len(failures) == len(outcomes):
        raise ConfigError(
            f"the judge gives no verdict: {'; '.join(failures)}. `rvpo-verl judge check` asks it in the same way"
        )
    return [
        f"one endpoint of the judge gives no verdict; the others are used: {failure}" for failure in failures
    ]


def _configs(kwargs: Mapping[str, Any]) -> list[JudgeConfig]:
    """All judges."""
    return [config for panel in parse_judges(kwargs.get("judge", {}), KEY).values() for config in panel]


def _frozen(judge: Any) -> str:
    return json.dumps(judge, sort_keys=True, default=dict)


@lru_cache(maxsize=8)
def _judges(frozen: str, reward_workers: int, router_address: str | None) -> "Panels":
    """The same judges for all responses of a process, so that they share limits and connections."""
    panel = _needed("panel")
    configs = parse_judges(json.loads(frozen), KEY)
    try:
        judges: Panels = panel.Panels(
            configs, reward_workers=reward_workers, router_address=router_address, endpoints=_endpoints()
        )
    except ConfigError as error:
        raise ConfigError(f"{KEY}: {error}") from None
    return judges


@lru_cache(maxsize=1)
def _endpoints() -> "Endpoints":
    """Of this process: two rewards that ask the same endpoint share its limit."""
    endpoints: Endpoints = _needed("endpoint").Endpoints()
    return endpoints


def _needed(module: str) -> Any:
    """A module of the judge that needs its packages."""
    try:
        return importlib.import_module(f"rvpo_verl.judge.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'a rubric needs {error.name}, which is not installed: pip install "rvpo-verl[judge]"'
        ) from None
