"""The report on rows, as data: statistics of the splits, findings, and how pitfalls were read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median, quantiles
from typing import Any

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.polarity import GOOD, Wording
from rvpo_verl.data.rows import Row, rubric


def report(
    splits: Mapping[str, list[Row]],
    findings: Findings,
    rows_read: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Of JSON's types.

    Args:
        rows_read: rows of each split before some were dropped.
    """
    return {
        "splits": {
            split: {"rows_read": (rows_read or {}).get(split, len(rows)), **summary(rows)}
            for split, rows in splits.items()
        },
        "pitfalls": [
            {
                "wording": wording.name.lower(),
                "meaning": wording.meaning,
                "polarity": wording.polarity,
                **asdict(findings.pitfalls[wording]),
            }
            for wording in Wording
            if wording in findings.pitfalls
        ],
        "findings": [asdict(finding) for finding in findings.by_kind.values()],
    }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Statistics of rows, criteria, categories, weights and lengths."""
    sizes = [len(rubric(row)) for row in rows]
    criteria = [criterion for row in rows for criterion in rubric(row)]
    lengths = sorted(sum(len(message["content"]) for message in row["prompt"]) for row in rows)
    return {
        "rows": len(rows),
        "criteria": len(criteria),
        "criteria_per_prompt": {
            "mean": fmean(sizes),
            "min": min(sizes),
            "max": max(sizes),
            "histogram": {str(size): count for size, count in sorted(Counter(sizes).items())},
        },
        "categories": {
            category: _category([c for c in criteria if c["category"] == category], len(criteria))
            for category, _ in Counter(c["category"] for c in criteria).most_common()
        },
        "prompt_characters": {
            "mean": fmean(lengths),
            "median": median(lengths),
            "p95": quantiles(lengths, n=20, method="inclusive")[-1] if len(lengths) > 1 else lengths[0],
            "max": lengths[-1],
        },
        "with_reference_answer": sum(bool(row["reward_model"]["ground_truth"]) for row in rows),
    }


def _category(criteria: list[dict[str, Any]], total: int) -> dict[str, Any]:
    weights = [criterion["weight"] for criterion in criteria]
    return {
        "count": len(criteria),
        "share": len(criteria) / total,
        "good_if_true": sum(criterion["polarity"] == GOOD for criterion in criteria),
        "bad_if_true": sum(criterion["polarity"] != GOOD for criterion in criteria),
        "weight": {"mean": fmean(weights), "min": min(weights), "max": max(weights)},
    }
