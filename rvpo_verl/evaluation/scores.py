"""The scores of a sample in an inspect log: overall, and by axis, theme, category or domain."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import UserError

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample
    from inspect_ai.scorer import Score

OVERALL = "overall"
HEALTHBENCH = "healthbench_score"
GROUPED_BY = {"category_name": "category", "high_level_domain": "domain"}
"""Keys of a sample's metadata, and the kind of group they give: BFCL's and GPQA's."""
UNANSWERED = "unanswered"
UNANSWERABLE = "unanswerable"
"""Keys of a sample's metadata: why it has no answer and counts as failed; why no answer can be right."""
UNREAD = "Failed to parse judge response"
NO_EXPLANATION = "No explanation provided"


@dataclass(frozen=True)
class SampleScores:
    groups: dict[tuple[str, str], float]
    """By kind and name, such as ("axis", "accuracy"); overall is ("", "overall")."""
    clipped: bool = False
    """Whether the mean over samples is clipped to 0 to 1."""
    verdicts: int = 0
    unread: int = 0
    """Verdicts of the judge that inspect-evals could not read and counted as not met."""
    unanswered: str | None = None
    unanswerable: str | None = None


def sample_scores(sample: "EvalSample") -> SampleScores | None:
    """None where the sample has no score, because it failed.

    Raises:
        UserError: a score that is neither HealthBench's nor one number.
    """
    if sample.error is not None or not sample.scores:
        return None
    metadata = sample.metadata or {}
    return replace(
        _scores(sample.id, sample.scores, metadata),
        unanswered=metadata.get(UNANSWERED),
        unanswerable=metadata.get(UNANSWERABLE),
    )


def _scores(row: int | str, scores: Mapping[str, "Score"], metadata: Mapping[str, Any]) -> SampleScores:
    name, score = next(iter(scores.items()))
    if isinstance(score.value, Mapping) and HEALTHBENCH in score.value:
        return _healthbench(score.value[HEALTHBENCH], score, metadata)
    if isinstance(score.value, Mapping | Sequence) and not isinstance(score.value, str):
        raise UserError(
            f"sample {row}: the score {name!r} has several values, {str(score.value)[:200]}; known are "
            "HealthBench's, and scores of one value"
        )
    from inspect_ai.scorer import value_to_float

    value = value_to_float()(score.value)
    groups = {("", OVERALL): value}
    groups |= {(kind, str(metadata[key])): value for key, kind in GROUPED_BY.items() if key in metadata}
    # Our own scorers give further figures of the sample, each with its kind and name.
    groups |= {(kind, name): figure for kind, name, figure in (score.metadata or {}).get("groups", ())}
    return SampleScores(groups)


def _healthbench(overall: Any, score: "Score", metadata: Mapping[str, Any]) -> SampleScores:
    """HealthBench's definition for every group of criteria: points met over points possible, which may be negative.

    An axis has the criteria tagged with it, a theme all criteria of a sample. inspect-evals' own scores by axis are
    higher, because it clips each sample's to 0 to 1.
    """
    # inspect-evals does not have an empty answer judged: it meets no criterion.
    unjudged = [{**criterion, "met": False} for criterion in metadata.get("rubrics", [])]
    criteria = (score.metadata or {}).get("detailed_results") or unjudged
    by_group: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for criterion in criteria:
        for tag in criterion.get("tags", []):
            kind, _, name = tag.partition(":")
            if kind in ("axis", "theme"):
                by_group[kind, name].append(criterion)
    groups = {("", OVERALL): float(overall)}
    groups |= {
        group: value for group, members in by_group.items() if (value := points_met(members)) is not None
    }
    explanations = [(str(one.get("explanation", "")), one["met"]) for one in criteria]
    unread = sum(
        text.startswith(UNREAD) or (text == NO_EXPLANATION and not met) for text, met in explanations
    )
    return SampleScores(groups, clipped=True, verdicts=len(criteria), unread=unread)


def points_met(criteria: Sequence[Mapping[str, Any]]) -> float | None:
    """Sum of the points met over the sum of the positive points; None if no points are positive."""
    possible = sum(one["points"] for one in criteria if one["points"] > 0)
    return sum(one["points"] for one in criteria if one["met"]) / possible if possible else None
