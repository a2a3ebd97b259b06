"""The claims of the paper, and one of its readers, each with a rule that the results either follow or do not."""

from collections.abc import Sequence

from experiment.claims import COLLAPSE, LEVEL, NOT, PARTLY, REPRODUCED, UNTESTED, Claim

from real_model import grid, outcomes
from real_model.results import File

NORM = 100.0
"""Gradient norm above which a step counts as unstable."""


def claims(by_method: dict[str, list[File]], untrained: File) -> list[Claim]:
    return [
        _neglect(by_method, untrained),
        _better(by_method, "RVPO with k from 0.5 to 2 keeps what GDPO neglects", "paper"),
        _better(by_method, "RVPO with a fixed k = 2 does", "k2"),
        _collapse(by_method),
        _norms(by_method),
        Claim("HealthBench, GPQA-Diamond and BFCL at 1.5B to 14B parameters", UNTESTED, "no such model here"),
    ]


def _neglect(by_method: dict[str, list[File]], untrained: File) -> Claim:
    text = "under GDPO a success on one reward pays for a failure on another"
    runs = by_method.get("gdpo", [])
    if not runs:
        return _missing(text)
    before = outcomes.mean_by_kind([untrained])
    lost = [outcomes.lost(before, outcomes.mean_by_kind([run])) for run in runs]
    kinds = sorted({kind for each in lost for kind in each})
    evidence = (
        f"in {sum(map(bool, lost))} of {len(runs)} runs a kind of constraint fell by more than {outcomes.LOST}"
        f"{' (' + ', '.join(kinds) + ')' if kinds else ''}, while the constraints met rose from "
        f"{outcomes.share_of_constraints([untrained]):.2f} to {outcomes.share_of_constraints(runs):.2f}"
    )
    return Claim(text, REPRODUCED if all(lost) else PARTLY if any(lost) else NOT, evidence)


def _better(by_method: dict[str, list[File]], text: str, method: str) -> Claim:
    runs, others = by_method.get(method, []), by_method.get("gdpo", [])
    difference = outcomes.difference(runs, others, outcomes.held_out)
    if difference is None:
        return _missing(text)
    better = difference.mean > 0 and difference.p < LEVEL
    return Claim(
        text,
        REPRODUCED if better else NOT,
        f"held-out answers that meet all constraints: {difference} against GDPO",
    )


def _collapse(by_method: dict[str, list[File]]) -> Claim:
    text = "late in training the baselines collapse and RVPO does not"
    baselines = [_fall(run) for name in ("grpo", "gdpo") for run in by_method.get(name, [])]
    ours = [_fall(run) for name in ("k1", "k2", "paper") for run in by_method.get(name, [])]
    if not baselines or not ours:
        return _missing(text)
    fell, ours_fell = (sum(fall > COLLAPSE for fall in falls) for falls in (baselines, ours))
    evidence = (
        f"below the best share of an evaluation by more than {COLLAPSE} at the end: {fell} of {len(baselines)} runs of "
        f"GRPO and GDPO, {ours_fell} of {len(ours)} of RVPO, in {grid.STEPS} steps"
    )
    return Claim(text, REPRODUCED if 2 * fell > len(baselines) and not ours_fell else NOT, evidence)


def _fall(run: File) -> float:
    shares = [outcomes.on_the_way(each) for each in run.evaluations()]
    return max(shares) - shares[-1]


def _norms(by_method: dict[str, list[File]]) -> Claim:
    text = "gradient norms of RVPO reach 1e10 (a third party)"
    norms = [
        step["gradient_norm"] for name in ("k1", "k2", "paper", "bonus") for step in _steps(by_method, name)
    ]
    if not norms:
        return _missing(text)
    evidence = f"the largest of {len(norms)} steps before clipping is {max(norms):.2g}"
    return Claim(text, REPRODUCED if max(norms) > NORM else NOT, evidence)


def _steps(by_method: dict[str, list[File]], method: str) -> Sequence[dict[str, float]]:
    return [step for run in by_method.get(method, []) for step in run.steps()]


def _missing(text: str) -> Claim:
    return Claim(text, "open", "no such runs yet")
