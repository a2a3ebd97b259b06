from pathlib import Path

import pytest
from rich.console import Console

from rvpo_verl.evaluation.comparison import compare
from rvpo_verl.evaluation.figure import draw
from rvpo_verl.evaluation.logs import Result, labels
from rvpo_verl.evaluation.scores import SampleScores
from rvpo_verl.evaluation.table import as_markdown, as_table

SETTINGS = {"judge": "openai-api/judge/m", "limit": None, "epochs": 1}


def result(scores, expected=None, **settings):
    """Of {id: score}, {(id, epoch): score} or {id: {group: score}}."""
    samples = {}
    for key, score in scores.items():
        groups = score if isinstance(score, dict) else {("", "overall"): score}
        samples[key if isinstance(key, tuple) else (key, 1)] = SampleScores(groups)
    return Result("task", Path("a.eval"), "m", SETTINGS | settings, expected or len(samples), samples)


def compared(*results):
    return compare(results, [chr(ord("A") + n) for n in range(len(results))], resamples=200)


def test_samples_are_paired_by_id_whatever_their_order():
    comparison = compared(result({"a": 0.0, "b": 1.0}), result({"b": 1.0, "a": 0.0}))
    (difference,) = comparison.rows[0].compared.differences
    assert (difference.interval.low, difference.interval.high, difference.p) == (0, 0, 1)


def test_only_samples_of_all_logs_count_and_the_rest_is_told():
    comparison = compared(
        result({"a": 1.0, "b": 0.0}), result({"a": 0.0, "c": 0.0}), result({"a": 1.0, "b": 1.0})
    )
    assert comparison.samples == 1
    assert [score.value for score in comparison.rows[0].compared.scores] == [1, 0, 1]
    assert [warning for warning in comparison.warnings if "left out" in warning] == [
        f"{name}: 1 answers are not in all logs, and left out" for name in "ABC"
    ]


def test_epochs_of_a_sample_are_averaged_before_anything_is_drawn():
    answers = {("a", 1): 1.0, ("a", 2): 0.0, ("b", 1): 1.0, ("b", 2): 0.0}
    comparison = compared(result(answers), result(answers))
    assert (comparison.samples, comparison.answers) == (2, 4)
    score = comparison.rows[0].compared.scores[0]
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)  # two samples of 0.5 each: nothing to vary


def test_a_group_rests_on_the_samples_that_have_it():
    overall, axis = ("", "overall"), ("axis", "accuracy")
    scores = {"a": {overall: 1.0, axis: 0.5}, "b": {overall: 0.0}}
    comparison = compared(result(scores), result(scores))
    assert [(row.name, row.compared.samples, row.compared.scores[0].value) for row in comparison.rows] == [
        ("overall", 2, 0.5),
        ("accuracy", 1, 0.5),
    ]


def test_no_common_sample_is_refused_with_some_of_each():
    with pytest.raises(ValueError, match=r"no sample is in all logs.*a \(epoch 1\).*b \(epoch 1\)"):
        compared(result({"a": 1.0}), result({"b": 1.0}))


def test_other_judges_and_limits_unfinished_logs_and_unread_verdicts_are_warned_of():
    unread = Result(
        "task", Path("a"), "m", SETTINGS | {"judge": "other", "limit": 5}, 1,
        {("a", 1): SampleScores({("", "overall"): 0.0}, True, verdicts=10, unread=3)},
    )  # fmt: skip
    warnings = "\n".join(compared(result({"a": 1.0}, expected=4), unread).warnings)
    assert "the judge differs: A openai-api/judge/m, B other" in warnings
    assert "the limit differs: A None, B 5" in warnings
    assert "A: 3 of 4 answers have no score" in warnings
    assert "B: 3 of 10 of the judge's verdicts could not be read" in warnings


def test_several_logs_are_corrected_by_holm_within_a_row():
    zeros, ones = dict.fromkeys("abcdefgh", 0.0), dict.fromkeys("abcdefgh", 1.0)
    (row,) = compared(result(zeros), result(ones), result(ones), result(zeros)).rows
    # 200 resamples, none at or below 0: 2 * 1 / 201 each; times 3, and not less for the second; the equal one 1.
    assert row.p_values == pytest.approx([6 / 201, 6 / 201, 1.0])


def test_logs_are_named_by_what_tells_them_apart(tmp_path):
    for folder in ("a/x/bfcl", "b/x/bfcl", "a/y-0.5", "b/y-0.5", "b/z"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "b/w.eval").touch()

    def named(*paths):
        return labels([tmp_path / path for path in paths])

    assert named("a/x/bfcl", "b/x/bfcl") == ["a", "b"]
    assert named("a/y-0.5", "b/z", "b/w.eval") == ["y-0.5", "z", "w"]
    assert named("a/y-0.5", "b/y-0.5", "b/z") == ["a/y-0.5", "b/y-0.5", "b/z"]
    assert named("b/z", "b/z") == ["z", "z"]


def test_table_markdown_and_picture_say_what_was_compared(tmp_path):
    groups = [("", "overall"), ("axis", "accuracy"), ("theme", "hedging")]
    first = result({name: dict.fromkeys(groups, 0.25) for name in "abcdefghij"})
    second = result({name: dict.fromkeys(groups, 0.5) for name in "abcdefghij"}, judge="other")
    comparison = compared(first, second)
    console = Console(width=120, record=True)
    console.print(as_table(comparison))
    text = console.export_text()
    assert "task: 10 samples paired" in text
    assert "+0.250 [+0.250, +0.250]" in text
    markdown = as_markdown([comparison])
    assert (
        "| axis accuracy | 10 | A | 0.250 [0.250, 0.250] |  |  |\n"
        "|  |  | B | 0.500 [0.500, 0.500] | +0.250 [+0.250, +0.250] | 0.010 |"
    ) in markdown
    assert "Warning: the judge differs" in markdown
    draw([comparison], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
