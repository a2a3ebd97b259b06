import pytest

pytest.importorskip(
    "inspect_ai", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from inspect_ai.log import EvalSample
from inspect_ai.scorer import Score

from rvpo_verl.evaluation.scores import sample_scores


def sample(score, **metadata):
    scores = {"scorer": score}
    return EvalSample(id="a", epoch=1, input="", target="", scores=scores, metadata=metadata)


def criterion(points, met, *tags, explanation="because"):
    return {"points": points, "met": met, "tags": tags, "explanation": explanation}


def healthbench(*criteria, overall=0.0, rubrics=()):
    details = {"detailed_results": list(criteria)} if criteria else {}
    return sample_scores(
        sample(Score(value={"healthbench_score": overall}, metadata=details), rubrics=list(rubrics))
    )


def test_an_axis_has_its_criteria_and_a_theme_all_and_neither_is_cut_at_zero():
    scores = healthbench(
        criterion(4, True, "axis:accuracy", "theme:hedging", "level:example"),
        criterion(6, False, "axis:accuracy", "theme:hedging"),
        criterion(5, False, "axis:completeness", "theme:hedging"),
        criterion(-8, True, "axis:completeness", "theme:hedging"),
        criterion(-2, True, "axis:communication_quality", "theme:hedging"),
        overall=-0.4,
    )
    assert scores.clipped
    assert scores.groups == {
        ("", "overall"): -0.4,
        ("axis", "accuracy"): 4 / 10,
        ("axis", "completeness"): -8 / 5,  # inspect-evals: 0
        ("theme", "hedging"): (4 - 8 - 2) / 15,
    }  # communication quality has nothing to gain in this sample, and no score


def test_an_answer_that_was_not_judged_meets_nothing():
    rubrics = [{"points": 5, "tags": ["axis:accuracy"]}, {"points": -5, "tags": ["axis:accuracy"]}]
    assert healthbench(rubrics=rubrics).groups == {("", "overall"): 0.0, ("axis", "accuracy"): 0.0}


def test_verdicts_that_could_not_be_read_are_counted():
    scores = healthbench(
        criterion(1, True),
        criterion(1, False),
        criterion(1, False, explanation="No explanation provided"),
        criterion(1, False, explanation="Failed to parse judge response: timed out"),
        criterion(1, True, explanation="No explanation provided"),  # met: it was read
    )
    assert (scores.verdicts, scores.unread) == (5, 2)


@pytest.mark.parametrize("value, expected", [("C", 1.0), ("I", 0.0), (1, 1.0), (0.25, 0.25)])
def test_other_benchmarks_have_one_value_and_a_group(value, expected):
    scores = sample_scores(sample(Score(value=value), category_name="simple_python", other=1))
    assert scores.groups == {("", "overall"): expected, ("category", "simple_python"): expected}
    assert not scores.clipped


def test_a_score_of_several_values_is_refused():
    with pytest.raises(ValueError, match="several values"):
        sample_scores(sample(Score(value={"one": 1, "two": 2})))


def test_a_sample_without_a_score_has_none():
    assert sample_scores(EvalSample(id="a", epoch=1, input="", target="")) is None
