"""Several judges: by category of the criterion, and several for one criterion, whose mean counts."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from rvpo_verl.judge.config import JudgeConfig, category_of
from rvpo_verl.judge.endpoint import Endpoints
from rvpo_verl.judge.figures import Figures
from rvpo_verl.judge.judge import Judge, Judgement
from rvpo_verl.rubric import Criterion


class Panels:
    """The judges of a rubric."""

    def __init__(
        self,
        configs: Mapping[str, Sequence[JudgeConfig]],
        *,
        reward_workers: int,
        router_address: str | None,
        endpoints: Endpoints,
    ):
        """
        Args:
            configs: from `parse_judges`.

        Raises:
            ConfigError: a configuration cannot work in this process.
        """
        self._judges = {
            category: [
                Judge(
                    config,
                    reward_workers=reward_workers,
                    router_address=router_address,
                    endpoints=endpoints,
                )
                for config in panel
            ]
            for category, panel in configs.items()
        }

    async def judge(
        self,
        messages: Sequence[Mapping[str, Any]] | None,
        answer: str,
        criteria: Sequence[Criterion],
        *,
        figures: Figures,
        step: int | None = None,
    ) -> list[Judgement]:
        """A judgement of each criterion, in order; see `Judge.judge`."""
        places = defaultdict(list)
        for place, criterion in enumerate(criteria):
            places[category_of(criterion, self._judges)].append(place)
        judgements: list[list[Judgement]] = [[] for _ in criteria]

        async def ask(judge: Judge, of_category: Sequence[int]) -> None:
            part = [criteria[place] for place in of_category]
            found = await judge.judge(messages, answer, part, figures=figures, step=step)
            for place, judgement in zip(of_category, found, strict=True):
                judgements[place].append(judgement)

        await asyncio.gather(
            *(
                ask(judge, of_category)
                for category, of_category in places.items()
                for judge in self._judges[category]
            )
        )
        return [
            of_criterion[0] if len(of_criterion) == 1 else mean(of_criterion) for of_criterion in judgements
        ]


def mean(judgements: Sequence[Judgement]) -> Judgement:
    """What a panel says: the mean of those that gave a verdict, and how much two of them differ on average."""
    given = [judgement for judgement in judgements if judgement.truth is not None]
    if not given:
        return judgements[0]
    truths = [judgement.truth for judgement in given if judgement.truth is not None]
    differences = [abs(a - b) for a, b in combinations(truths, 2)]
    explanations = [judgement.explanation for judgement in given if judgement.explanation]
    return Judgement(
        fmean(truths), None, fmean(differences) if differences else None, "\n".join(explanations) or None
    )
