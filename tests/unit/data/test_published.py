"""Rubrics in the forms in which they are published, made after the descriptions of data sets."""

import json
from typing import Any

import pytest

from rvpo_verl.data.options import Options, Shape
from rvpo_verl.data.prepare import prepare
from rvpo_verl.data.published import parse_map
from rvpo_verl.data.rows import rubric
from rvpo_verl.data.sources import Source
from tests.support.published import healthbench

MESSAGES = [{"role": "user", "content": "How much?"}]
CRITERIA: list[dict[str, Any]] = [
    {"criterion": "States 5 mg.", "points": 5, "tags": ["axis:accuracy"]},
    {"criterion": "Recommends aspirin.", "points": -3, "tags": ["axis:safety"]},
]
TAGS_AS_OBJECT = [
    {**one, "tags": {"verifier": "llm", "axis": one["tags"][0].removeprefix("axis:"), "parameters": None}}
    for one in CRITERIA
]
WEIGHTS = [{"criterion": one["criterion"], "weight": one["points"]} for one in CRITERIA]
RAR = [
    {"title": "Dose", "description": "Essential Criteria: States 5 mg.", "weight": 5},
    {"title": "Aspirin", "description": "Pitfall Criteria: Recommends aspirin.", "weight": -1},
]
ROWS = {
    "verl's form, tags as a list": {
        "data_source": "x",
        "prompt": MESSAGES,
        "ability": "medical",
        "reward_model": {"style": "rubric", "ground_truth": "5 mg", "rubrics": CRITERIA},
        "extra_info": {"index": 7},
    },
    "verl's form, tags as an object": {
        "prompt": MESSAGES,
        "reward_model": {"ground_truth": "5 mg", "rubrics": TAGS_AS_OBJECT},
        "Rubrics": [{"criterion": one["criterion"], "points": one["points"]} for one in CRITERIA],
    },
    "in extra_info": {
        "prompt": MESSAGES,
        "reward_model": {"style": "rubric", "ground_truth": ""},
        "extra_info": {"reward_model": {"rubrics": CRITERIA}},
    },
    "prompt as a text, weight for points": {"prompt": "How much?", "rubrics": WEIGHTS},
    "instruction, criteria as plain texts beside objects": {
        "instruction": "How much?",
        "rubric_list": [one["criterion"] for one in CRITERIA],
        "rubrics": WEIGHTS,
    },
    "JSON in text columns": {"prompt": json.dumps(MESSAGES), "rubrics": json.dumps(CRITERIA)},
    "JSON in a column of verl's form": {
        "prompt": MESSAGES,
        "reward_model": json.dumps({"style": "rubric", "rubrics": CRITERIA}),
    },
    "numbers as texts": {
        "prompt": "How much?",
        "rubrics": [{**one, "points": str(one["points"])} for one in CRITERIA],
    },
    "RaR": {"question": "How much?", "reference_answer": "5 mg", "rubric": RAR},
    "RaR, JSON in a text column": {"question": "How much?", "rubric": json.dumps(RAR)},
    "RaR, rubric_list alone": {
        "question": "How much?",
        "rubric_list": [one["description"] for one in RAR],
    },
}


def prepared(*rows, shape=None, split="train", **options):
    return prepare("mine", shape, {split: Source("rows.jsonl", enumerate(rows, start=1))}, Options(**options))


@pytest.mark.parametrize("name", ROWS)
def test_a_published_form_is_read_without_an_option(name):
    (row,) = prepared(ROWS[name]).splits["train"]
    assert row["prompt"] == MESSAGES
    assert [(one["criterion"], one["polarity"]) for one in rubric(row)] == [
        ("States 5 mg.", 1),
        ("Recommends aspirin.", -1),
    ]
    weights = [1.0, 0.9] if name.startswith("RaR") else [5.0, 3.0]
    assert [one["weight"] for one in rubric(row)] == weights
    if name.startswith("verl's form"):
        assert row["reward_model"]["ground_truth"] == "5 mg"
        assert [one["category"] for one in rubric(row)] == ["accuracy", "safety"]


def test_plain_texts_without_a_category_are_important_and_told():
    result = prepared({"prompt": "?", "rubric": ["States 5 mg.", "Is brief."]})
    assert [(one["weight"], one["category"]) for one in rubric(result.splits["train"][0])] == [
        (0.7, "important"),
        (0.7, "important"),
    ]
    assert result.findings.by_kind["weight_missing"].count == 2


def test_a_criterion_that_its_publisher_checks_by_a_program_is_told():
    tags = {"verifier": "rule", "function": "CommaChecker"}
    row = {"prompt": MESSAGES, "reward_model": {"rubrics": [{**CRITERIA[0], "tags": tags}]}}
    assert prepared(row).findings.by_kind["criterion_of_rule"].count == 1


def test_a_number_that_some_criteria_lack_is_an_error():
    row = {"prompt": "?", "rubrics": [CRITERIA[0], {"criterion": "x"}]}
    with pytest.raises(ValueError, match=r"row 1, field rubrics\.1\.points: missing or null"):
        prepared(row)


def test_rows_of_healthbench_itself_are_no_training_split_whatever_they_are_called():
    row = healthbench() | {"example_tags": ["theme:hedging"]}
    with pytest.raises(ValueError, match=r"rows\.jsonl, row 1: .*HealthBench is a benchmark"):
        prepared(row)
    assert len(prepared(row, benchmark_as_train=True).splits["train"]) == 1
    assert len(prepared(row, split="test").splits["test"]) == 1


MAPS = {
    "criterion=checks.text,weight=checks.importance,category=checks.kind": {
        "prompt": "How much?",
        "checks": [
            {"text": "States 5 mg.", "importance": "5", "kind": "accuracy"},
            {"text": "Recommends aspirin.", "importance": -3, "kind": "safety"},
        ],
    },
    "prompt=task.user,criterion=groups.items.text,weight=groups.items.n,category=groups.axis": {
        "task": {"user": "How much?"},
        "groups": [
            {"axis": "accuracy", "items": [{"text": "States 5 mg.", "n": 5}]},
            {"axis": "safety", "items": [{"text": "Recommends aspirin.", "n": -3}]},
        ],
    },
    "criterion=texts,weight=numbers,category=kinds,prompt=q": {
        "q": "How much?",
        "texts": ["States 5 mg.", "Recommends aspirin."],
        "numbers": json.dumps([5, -3]),
        "kinds": ["accuracy", "safety"],
    },
}


@pytest.mark.parametrize("written", MAPS)
def test_any_other_form_is_read_by_a_map(written):
    (row,) = prepared(MAPS[written], paths=parse_map([written])).splits["train"]
    assert row["prompt"] == MESSAGES
    assert [(one["criterion"], one["weight"], one["polarity"], one["category"]) for one in rubric(row)] == [
        ("States 5 mg.", 5.0, 1, "accuracy"),
        ("Recommends aspirin.", 3.0, -1, "safety"),
    ]


def test_a_map_into_rars_schema_has_importance_and_wording():
    row = {
        "q": "How much?",
        "items": [{"t": "States 5 mg.", "c": "Essential"}, {"t": "Avoids aspirin.", "c": "pitfall"}],
    }
    paths = parse_map(["prompt=q,criterion=items.t", "category=items.c"])
    (row,) = prepared(row, shape=Shape.rar, paths=paths).splits["train"]
    assert [(one["weight"], one["polarity"], one["category"]) for one in rubric(row)] == [
        (1.0, 1, "essential"),
        (0.9, 1, "pitfall"),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("criteria=a", "--map 'criteria=a': expected NAME=COLUMN"),
        ("criterion=", "expected NAME=COLUMN"),
        ("weight=a.b", "criterion=COLUMN.FIELD is needed"),
        ("criterion=checks.no", r"row 1: --map criterion: no field 'no'; found text, kind"),
        ("criterion=checks.text,weight=few", r"--map weight: 1 values for 2 criteria"),
        ("criterion=checks.text,weight=checks.kind", r"--map weight: 'x' is no number"),
    ],
)
def test_a_map_that_does_not_fit_says_what_is_there(written, said):
    row = {"prompt": "?", "checks": [{"text": "a", "kind": "x"}, {"text": "b", "kind": "y"}], "few": [1]}
    with pytest.raises(ValueError, match=said):
        prepared(row, paths=parse_map([written]))
