"""Verifiable instructions: published rows into verl's, and generated prompts."""

import json

import pytest

pytest.importorskip("if_verifiable")

from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.data.instruction_prompts import DRAWS, Prompts, draw_row
from rvpo_verl.data.instructions import Generate, convert, generate
from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows
from rvpo_verl.rewards.instructions import instructions, read_constraints
from tests.support.nltk_data import needs_nltk_data

CONVERSATION = [{"role": "user", "content": "Write about tea."}, {"role": "assistant", "content": "Tea."}]
LITERAL = (
    "[{'instruction_id': ['keywords:existence', 'punctuation:no_comma'], "
    "'kwargs': [{'keywords': ['tea']}, None]}]"
)
PUBLISHED = {
    "IF_multi_constraints_upto5": {"key": "a", "messages": CONVERSATION, "ground_truth": LITERAL},
    "IFEval": {
        "key": 1,
        "prompt": "Write about tea.",
        "instruction_id_list": ["keywords:existence", "punctuation:no_comma"],
        "kwargs": [{"keywords": ["tea"]}, {}],
    },
    "Nemotron-RL": {
        "prompt": "Write about tea.",
        "responses_create_params": {"input": CONVERSATION[:1]},
        "instruction_id_list": ["keywords:existence", "punctuation:no_comma"],
        "kwargs": [{"keywords": ["tea"], "num_words": None}, {"keywords": None, "num_words": None}],
        "grading_mode": "binary",
    },
}


def invoke(*arguments):
    return CliRunner().invoke(app, ["data", "instructions", *map(str, arguments)], env={"COLUMNS": "200"})


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("form", PUBLISHED)
def test_every_published_form_becomes_the_same_row_for_verl(form):
    (row,) = convert([("row 1", PUBLISHED[form])], "own", "train").rows
    assert row["prompt"] == CONVERSATION[:1]
    assert row["extra_info"]["instruction_id_list"] == ["keywords:existence", "punctuation:no_comma"]
    scores = instructions("Milk, no.", row["extra_info"], row["reward_model"]["ground_truth"])
    assert [score.value for score in scores.values()] == [0, 0]
    assert [score.value for score in instructions("Tea.", row["extra_info"]).values()] == [1, 1]


def test_rows_that_cannot_be_checked_are_left_out_and_counted_by_reason():
    good = PUBLISHED["IFEval"]
    incomplete = good | {"prompt": "b", "kwargs": [{}, {}]}
    unknown = good | {"prompt": "c", "instruction_id_list": ["new:kind", "punctuation:no_comma"]}
    prepared = convert(
        [(str(n), each) for n, each in enumerate((good, incomplete, unknown, good))], "own", "train"
    )
    assert len(prepared.rows) == 1
    assert [(each.what, each.count) for each in prepared.findings.by_kind.values()] == [
        ("no check: keywords", 1),
        ("no check: no checker for 'new", 1),
        ("a prompt is in the file twice", 1),
    ]


@needs_nltk_data
def test_generated_prompts_depend_on_the_seed_alone_and_longer_files_begin_as_shorter_ones():
    first = [draw_row(Prompts(), 3, number) for number in range(20)]
    assert first == [draw_row(Prompts(), 3, number) for number in range(20)]
    assert first != [draw_row(Prompts(), 4, number) for number in range(20)]
    short, long = (generate(Generate(train=count), Prompts(), "own")["train"].rows for count in (3, 6))
    assert long[: len(short)] == short


@needs_nltk_data
def test_generated_constraints_number_as_asked_and_none_contradict_each_other():
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_CONFLICTS

    for number in range(200):
        kinds = draw_row(Prompts(constraints=(3, 4)), 1, number)["instruction_id_list"]
        assert len(kinds) in (3, 4) and len(set(kinds)) == len(kinds)
        assert not any(
            other in INSTRUCTION_CONFLICTS[kind] for kind in kinds for other in kinds if other != kind
        )


@needs_nltk_data
def test_a_forbidden_word_is_never_asked_for_in_the_same_prompt():
    kinds = ("keywords:forbidden_words", "startend:end_checker")
    phrases = set()
    for number in range(100):
        row = draw_row(Prompts(kinds=kinds, constraints=(2, 2)), 1, number)
        by_kind = dict(zip(row["instruction_id_list"], row["kwargs"], strict=True))
        phrase = by_kind["startend:end_checker"]["end_phrase"]
        phrases.add(phrase)
        assert not set(by_kind["keywords:forbidden_words"]["forbidden_words"]) & set(
            phrase.lower().strip(".?").split()
        )
    assert len(phrases) > 1


@needs_nltk_data
def test_tasks_and_kinds_that_are_held_out_are_not_trained_on():
    held_out = ("punctuation:no_comma", "startend:quotation")
    tasks = tuple(f"Task number {number}." for number in range(10))
    splits = generate(Generate(60, 20, 20, held_out_kinds=held_out), Prompts(tasks), "own")
    used = {
        split: {prompt["prompt"][0]["content"].partition(". ")[0] for prompt in each.rows}
        for split, each in splits.items()
    }
    kinds = {
        split: [set(row["extra_info"]["instruction_id_list"]) for row in each.rows]
        for split, each in splits.items()
    }
    assert used["train"].isdisjoint(used["val"] | used["test"]) and len(used["train"]) == 8
    assert not any(of & set(held_out) for of in kinds["train"] + kinds["val"])
    assert all(of & set(held_out) for of in kinds["test"])


def test_constraints_that_cannot_be_drawn_are_refused():
    with pytest.raises(UserError, match="no constraints of the kind 'new:kind'"):
        Prompts(kinds=("new:kind",))
    with pytest.raises(UserError, match="ask for fewer constraints"):
        both = ("change_case:english_capital", "change_case:english_lowercase")
        draw_row(Prompts(kinds=both, constraints=(2, 2)), 0, 0)


@needs_nltk_data
@pytest.mark.parametrize("kind", DRAWS)
def test_the_arguments_of_every_kind_are_complete(kind):
    row = draw_row(Prompts(kinds=(kind,), constraints=(1, 1)), 0, 0)
    assert len(instructions("An answer.", row)) == 1


@needs_nltk_data
def test_the_command_writes_what_the_reward_reads(tmp_path):
    out = tmp_path / "out"
    done = invoke("own", "--generate", 12, "--generate-val", 4, "--out", out, "--constraints", "1-2")
    assert done.exit_code == 0, done.output
    rows = [row for _, row in read_rows(out / "train.parquet")]
    assert len(rows) == 12
    for row in rows:
        constraints = read_constraints(row["extra_info"])
        assert list(instructions("An answer.", row["extra_info"])) == [
            f"{each.kind}/{number}" for number, each in enumerate(constraints, start=1)
        ]


@needs_nltk_data
def test_prompts_of_a_benchmark_are_taken_out_of_training(tmp_path):
    row = PUBLISHED["IFEval"]
    other = row | {"prompt": "Write about coffee."}
    train = write(tmp_path / "train.jsonl", row, other)
    benchmark = write(tmp_path / "ifeval.jsonl", row | {"prompt": "write about  TEA"})
    out = tmp_path / "out"
    done = invoke("own", "--train", train, "--benchmark", benchmark, "--out", out)
    assert done.exit_code == 0, done.output
    assert [row["prompt"][0]["content"] for _, row in read_rows(out / "train.parquet")] == [
        "Write about coffee."
    ]
    assert "a prompt of ifeval is in the training data" in done.output


@needs_nltk_data
def test_a_benchmark_is_not_training_data(tmp_path):
    done = invoke("ifeval", "--train", write(tmp_path / "a.jsonl", PUBLISHED["IFEval"]))
    assert done.exit_code == 2 and "is a benchmark" in done.output
