import jsonschema
import pytest

from rvpo_verl.judge.verdict import MalformedError, read_verdicts, response_format
from rvpo_verl.rubric import Criterion

BINARY, GRADED = Criterion(criterion="a"), Criterion(criterion="b", levels=4)
ONE, BOTH = {"1": BINARY}, {"1": BINARY, "2": GRADED}


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ('{"1": true}', 1.0),
        (' {"1": false} ', 0.0),
        ('```json\n{"1": true}\n```', 1.0),
        ('<think>{"1": true}? No.</think>{"1": false}', 0.0),
        ('It does not. {"1": "no"}', 0.0),
        ('{"1": 1}', 1.0),
        ('{"verdict": true}', 1.0),
        ('{"explanation": "…", "criteria_met": false}', 0.0),
        ('{"1": {"verdict": true, "reason": "x"}}', 1.0),
        ('{"1": true, "why": "it says \\"{\\\\\\"1\\\\\\": false}\\""}', 1.0),
        ("Yes.", 1.0),
        ("**false**", 0.0),
        ('{"1": true} because … so {"1": true}', 1.0),
    ],
)
def test_what_judges_write_for_one_criterion(text, truth):
    assert read_verdicts(text, ONE) == {"1": truth}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", '{"1": tr', "I cannot say.", '{"1": null}', '{"1": 2}', '{"1": "maybe"}', '{"2": true}', "[true]",
        '{"1": true} or rather {"1": false}', "{" * 10_000, "[" * 100_000, '{"1": ' + "9" * 10_000 + "}",
        "true, or false?",
    ],
)  # fmt: skip
def test_anything_else_is_not_a_verdict(text):
    with pytest.raises(MalformedError):
        read_verdicts(text, ONE)


def test_grades_are_fractions_of_the_highest():
    assert read_verdicts('{"1": true, "2": 3}', BOTH) == {"1": 1.0, "2": 0.75}
    assert read_verdicts('{"2": "1"}', BOTH) == {"2": 0.25}
    assert read_verdicts("4", {"1": GRADED}) == {"1": 1.0}


@pytest.mark.parametrize("grade", ["5", "-1", "2.5", "true", '"all"', "NaN", "1e400"])
def test_an_invalid_grade_is_left_out_and_the_others_stand(grade):
    assert read_verdicts(f'{{"1": false, "2": {grade}}}', BOTH) == {"1": 0.0}


def test_the_schema_requires_exactly_one_verdict_per_criterion():
    schema = response_format(BOTH, "schema")["response_format"]["json_schema"]["schema"]
    jsonschema.validate({"1": True, "2": 4}, schema)
    for wrong in ({"1": True}, {"1": True, "2": 5}, {"1": 1, "2": 1}, {"1": True, "2": 1, "3": True}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
