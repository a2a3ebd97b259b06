"""verl's launcher trains on ragged rubrics while the judge fails in every way: nothing is lost, nothing is zero."""

from collections import Counter

import pytest

from tests.support import reference
from tests.support.rubric_run import CATEGORIES, CRITERIA, JUDGE, ROLLOUTS, STEPS, rows, train_on_rubrics
from tests.support.scripted_judge import scripted_judge

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(900)]

FAULTS = {"timeout": 0.20, "server_error": 0.10, "rate_limited": 0.05, "malformed": 0.05}
# One attempt, so that each fault is one failed verdict.
SETTINGS = [
    "reward.rvpo.max_failure_share=0.6",
    f"{JUDGE}.attempts=1",
    f"{JUDGE}.timeout=10",
    f"{JUDGE}.limit=128",
]


@pytest.fixture(scope="module", params=["V1", "V0"])
def run(request, tmp_path_factory):
    """Steps as they were recorded, every call to the judge, the metrics that verl logged, and the run's output."""
    with scripted_judge(faults=FAULTS, latency=0.02, key="chaos-secret") as server:
        done = train_on_rubrics(
            tmp_path_factory.mktemp("chaos"),
            f'{{base_url:"{server.base_url}",model:judge,api_key_env:CHAOS_KEY}}',
            *SETTINGS,
            use_v1=request.param == "V1",
            env={"CHAOS_KEY": "chaos-secret"},
        )
        calls = [call for call in server.log() if ") P" in call["asked"]]  # not the one before the training
    return done.steps, calls, done.metrics, done.output


def test_no_rollout_is_lost(run):
    steps, calls, _, _ = run
    assert [len(step["rows"]) for step in steps] == [len(CRITERIA) * ROLLOUTS] * STEPS
    for step in steps:
        sizes = Counter(len(row["vector"]["scores"]) for row in step["rows"])
        assert sizes == {5: 2 * ROLLOUTS, 17: 2 * ROLLOUTS}
    assert len(calls) == sum(CRITERIA) * ROLLOUTS * STEPS


def test_every_verdict_arrived_or_is_missing_for_what_the_judge_did(run):
    """Of each criterion, what the judge answered against what the training saw, as counts."""
    steps, calls, _, _ = run
    by_size = {}
    for row in rows():
        by_size.setdefault(len(row["extra_info"]["rubric"]), []).extend(row["extra_info"]["rubric"])
    answered = Counter()
    for call in calls:
        name = call["asked"].rpartition(" ")[2]
        prompt, number = map(int, name[1:].split("C"))
        criterion = rows()[prompt]["extra_info"]["rubric"][number]
        truth = float(call["verdicts"]["1"]) / criterion["levels"]
        reward = truth if criterion["polarity"] > 0 else 1 - truth
        answered[CRITERIA[prompt], number, call["fault"] or reward] += 1
    seen = Counter()
    for step in steps:
        for row in step["rows"]:
            vector = row["vector"]
            for name, score in vector["scores"].items():
                number = int(name.rpartition("/")[2]) - 1
                outcome = vector["failures"][name].partition(":")[0] if score is None else score
                seen[len(vector["scores"]), number, outcome] += 1
    assert seen == answered
    assert {outcome for *_, outcome in seen} >= set(FAULTS) | {0.0, 1.0}


def test_advantages_equal_those_with_the_failed_verdicts_marked_missing(run):
    steps, _, _, _ = run
    for step, k in zip(steps, (0.5, 2.0), strict=True):
        groups = sorted({row["group"] for row in step["rows"]})
        rewards, weights = [], []
        for row in step["rows"]:
            scores, given = row["vector"]["scores"], row["vector"]["weights"]
            padding = max(CRITERIA) - len(scores)
            rewards.append(
                [float("nan") if s is None else s for s in scores.values()] + [float("nan")] * padding
            )
            weights.append([given.get(name, 1.0) for name in scores] + [0.0] * padding)
        assert any(score != score for row in rewards for score in row)
        expected = reference.advantage(
            rewards,
            [groups.index(row["group"]) for row in step["rows"]],
            [row["tokens"] for row in step["rows"]],
            weights=weights,
            k=k,
        )
        assert [row["advantage"] for row in step["rows"]] == pytest.approx(expected, abs=1e-5)


def test_failure_metrics_equal_what_was_injected(run):
    steps, calls, metrics, _ = run
    injected = Counter(call["fault"] for call in calls if call["fault"])
    asked = sum(CRITERIA) * ROLLOUTS
    assert len(metrics) == STEPS
    for kind in FAULTS:
        counted = sum(line.get(f"rvpo/rubric/failed/{kind}", 0.0) * asked for line in metrics)
        assert counted == pytest.approx(injected[kind], abs=1e-6), kind
    assert sum(line["rvpo/rubric/failed"] * asked for line in metrics) == pytest.approx(
        injected.total(), abs=1e-6
    )
    for line, step in zip(metrics, steps, strict=True):
        for category in CATEGORIES:
            family = f"rubric/{category}"
            scores = [
                score
                for row in step["rows"]
                for name, score in row["vector"]["scores"].items()
                if name.startswith(family)
            ]
            missing = sum(score is None for score in scores) / len(scores)
            assert line[f"rvpo/{family}/missing"] == pytest.approx(missing, abs=1e-6)


def test_the_key_is_in_no_log(run):
    assert "chaos-secret" not in run[3]


def test_a_training_ends_with_a_checkpoint_before_it_exceeds_its_tokens(tmp_path):
    with scripted_judge() as server:
        done = train_on_rubrics(
            tmp_path,
            f'{{base_url:"{server.base_url}",model:judge}}',
            "reward.rvpo.max_tokens_total=1",  # known after the first step, so that the second is the last
            "trainer.total_training_steps=6",
            "trainer.total_epochs=6",
            "trainer.save_freq=100",
        )
    assert len(done.metrics) == 2
    assert "the next step is the last of this training" in done.output
    assert (tmp_path / "checkpoints" / "global_step_2").is_dir()
    assert done.metrics[1]["rvpo/k"] < 1, "the schedule goes on as it was planned for 6 steps"
    assert done.metrics[0]["rvpo/rubric/calls"] == sum(CRITERIA) * ROLLOUTS
    assert done.metrics[0]["rvpo/rubric/tokens_in"] > 0
