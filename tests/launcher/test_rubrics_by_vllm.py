"""verl's launcher trains on ragged rubrics that a real vLLM server judges."""

from collections import Counter

import pytest

from tests.support.rubric_run import CATEGORIES, CRITERIA, JUDGE, ROLLOUTS, STEPS, train_on_rubrics

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def run(judge_server, tmp_path_factory):
    return train_on_rubrics(
        tmp_path_factory.mktemp("judged"),
        f'{{base_url:"{judge_server.base_url}",model:{judge_server.model}}}',
        f"{JUDGE}.calls=response",
    )


def test_prompts_with_5_and_with_17_criteria_are_trained_in_one_batch(run):
    assert [len(step["rows"]) for step in run.steps] == [len(CRITERIA) * ROLLOUTS] * STEPS
    for step in run.steps:
        sizes = Counter(len(row["vector"]["scores"]) for row in step["rows"])
        assert sizes == {5: 2 * ROLLOUTS, 17: 2 * ROLLOUTS}


def test_every_criterion_has_a_verdict_or_is_missing_with_its_cause(run):
    for step, metrics in zip(run.steps, run.metrics, strict=True):
        vectors = [row["vector"] for row in step["rows"]]
        missing = [
            (name, vector) for vector in vectors for name, score in vector["scores"].items() if score is None
        ]
        assert all(name in vector["failures"] for name, vector in missing)
        scores = [score for vector in vectors for score in vector["scores"].values() if score is not None]
        assert all(0 <= score <= 1 for score in scores)
        assert len(set(scores)) > 1, "a judge with random weights does not give one verdict only"
        assert metrics["rvpo/rubric/failed"] == pytest.approx(
            len(missing) / (len(missing) + len(scores)), abs=1e-6
        )
        assert {f"rvpo/rubric/{category}/mean" for category in CATEGORIES} <= set(metrics)
