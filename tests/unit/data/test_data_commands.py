"""`rvpo-verl data`."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.cpu import tasks
from rvpo_verl.data.rlla import read_rlla
from rvpo_verl.data.rows import read_rows, rubric
from rvpo_verl.files import write_parquet
from tests.support.published import criterion, healthbench, rar, write

PITFALLS = [
    criterion("Pitfall Criteria: Avoids aspirin.", -1),
    criterion("Pitfall Criteria: Does not mention the dose.", -2),
    criterion("Pitfall Criteria: Does not suggest [surgery].", -1),
]


def invoke(*arguments):
    arguments = ["data", *map(str, arguments)]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "220"})


def squeezed(text):
    return "".join(text.split())


@pytest.fixture
def files(tmp_path):
    train = [rar("a?", criterion("Essential Criteria: x"), *PITFALLS), rar("b?"), rar("c?"), rar("B?")]
    return {
        "train": write(tmp_path / "train.jsonl", train),
        "test": write(tmp_path / "test.parquet", [rar("c?")]),
    }


def test_prepare_writes_every_split_and_shows_what_came_out(files, tmp_path):
    out = tmp_path / "out" / "rar"
    result = invoke(
        *("prepare", "rar-medicine", "--train", files["train"], "--test", files["test"], "--out", out),
        *("--json", tmp_path / "report.json"),
    )
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["test.parquet", "train.parquet"]
    train = read_rows(out / "train.parquet")
    assert [row["prompt"][0]["content"] for row in train] == ["a?", "b?"]
    assert [each["polarity"] for each in rubric(train[0])] == [1, 1, -1]
    assert {row["data_source"] for row in train} == {"rar-medicine"}

    shown = squeezed(result.stdout)
    for part in (
        "train422.0(1–3)",  # read, kept, criteria per prompt
        "testessential1100%101",  # category: count, share, good, bad, weight
        "avoidsthemistakegood1Avoidsaspirin.",
        "couldbemeanteitherway?1Doesnotsuggest[surgery].",
        "apromptoftrainingsplit".replace("training", "thetraining"),
        "Doesnotmentionthedose.pitfall0.9bad",
        "train.parquet:2rows",
    ):
        assert part in shown, part

    told = json.loads((tmp_path / "report.json").read_text())
    assert told["splits"]["train"] == {
        "rows_read": 4,
        "rows": 2,
        "criteria": 4,
        "criteria_per_prompt": {"mean": 2.0, "min": 1, "max": 3, "histogram": {"1": 1, "3": 1}},
        "categories": {
            "essential": {
                "count": 2, "share": 0.5, "good_if_true": 2, "bad_if_true": 0,
                "weight": {"mean": 1.0, "min": 1.0, "max": 1.0},
            },
            "pitfall": {
                "count": 2, "share": 0.5, "good_if_true": 1, "bad_if_true": 1,
                "weight": {"mean": 0.9, "min": 0.9, "max": 0.9},
            },
        },
        "prompt_characters": {"mean": 2.0, "median": 2.0, "p95": 2.0, "max": 2},
        "with_reference_answer": 2,
    }  # fmt: skip
    assert [(each["wording"], each["polarity"], each["count"]) for each in told["pitfalls"]] == [
        ("avoidance", 1, 1),
        ("not_covered", -1, 1),
        ("unclear", None, 1),
    ]
    assert {each["kind"]: each["count"] for each in told["findings"]} == {
        "polarity_unclear": 1,
        "prompt_repeated_train": 1,
        "prompt_evaluated": 1,
    }


def test_without_out_nothing_is_written(files, tmp_path):
    before = set(tmp_path.rglob("*"))
    assert invoke("prepare", "mine", "--shape", "rar", "--train", files["train"]).exit_code == 0
    assert set(tmp_path.rglob("*")) == before


def test_options_reach_the_preparation(files, tmp_path):
    result = invoke(
        *("prepare", "rar-science", "--train", files["train"], "--out", tmp_path, "--weights", "row"),
        *("--polarity", "does not suggest=good", "--polarity", "Avoids=bad", "--duplicates", "keep"),
        *("--ambiguous", "error"),
    )
    assert result.exit_code == 0, result.stderr
    rows = read_rows(tmp_path / "train.parquet")
    assert len(rows) == 4
    assert [each["polarity"] * each["weight"] for each in rubric(rows[0])] == [5, -1, -2, 1]


def test_healthbench_is_prepared_for_evaluation(tmp_path):
    file = write(tmp_path / "bench.jsonl", [healthbench("?", 3, -4)])
    assert invoke("prepare", "healthbench", "--test", file, "--out", tmp_path).exit_code == 0
    (row,) = read_rows(tmp_path / "test.parquet")
    assert [(each["weight"], each["polarity"]) for each in rubric(row)] == [(3.0, 1), (4.0, -1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "mine"), "no source for mine: give files"),
        (("prepare", "rlla"), "rlla: give ToolRL's dataset/rlla_4k/train.parquet"),
        (("prepare", "mine", "--train", "RAR", "--map", "x=y"), "--map 'x=y': expected NAME=COLUMN"),
        (("prepare", "healthbench"), "no source for healthbench: give files"),
        (("prepare", "healthbench", "--train", "BENCH"), "HealthBench is a benchmark"),
        (("prepare", "rar-science", "--test", "BENCH"), "row 1, field question: missing or null; found pro"),
        (("prepare", "rar-science", "--train", "RAR", "--polarity", "Avoids"), "expected WORDS=good or"),
        (("prepare", "rar-science", "--train", "RAR", "--ambiguous", "error"), "row 1, rubric.3: 'Does not s"),
        (("prepare", "rar-science", "--train", "RAR", "--hub", "x/y"), "give either files or --hub"),
        (("preview", "RAR"), "train.jsonl, row 1, field data_source: missing or null; found question"),
        (("rlla", "RAR"), "train.jsonl, row 1, field data_source: missing or null; found question"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_message(files, tmp_path, arguments, message):
    there = {"RAR": files["train"], "BENCH": write(tmp_path / "bench.jsonl", [healthbench()])}
    result = invoke(*(there.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("n\n", False), (None, True)])
def test_a_map_is_shown_before_anything_is_written(tmp_path, answer, written):
    file = write(tmp_path / "mine.jsonl", [{"q": "How much?", "checks": [{"t": "States 5 mg.", "n": -2}]}])
    arguments = (
        "data",
        "prepare",
        "mine",
        "--train",
        file,
        "--map",
        "prompt=q,criterion=checks.t,weight=checks.n",
    )
    more = ("--yes",) if answer is None else ()
    result = CliRunner().invoke(app, [*map(str, (*arguments, "--out", tmp_path / "x", *more))], input=answer)
    assert "States5mg.2bad" in squeezed(result.stdout).replace("│", "")
    assert (tmp_path / "x/train.parquet").exists() is written
    assert result.exit_code == (0 if written else 1)


def test_rlla_is_prepared_by_split(tmp_path):
    rows = tasks.generate(3, 0, "train")
    write_parquet(rows, tmp_path / "rlla.parquet")
    result = invoke("prepare", "rlla", "--train", tmp_path / "rlla.parquet", "--out", tmp_path / "x")
    assert result.exit_code == 0, result.stderr
    assert read_rlla(tmp_path / "x/train.parquet") == rows


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("value", "said"), [({"data": [rar()]}, "its 'data' is a list"), (rar(), "is a single JSON object")]
)
def test_a_pretty_printed_object_is_said_to_be_that(tmp_path, suffix, value, said):
    file = tmp_path / f"rows.{suffix}"
    file.write_text(json.dumps(value, indent=2))
    result = invoke("prepare", "mine", "--train", file)
    assert result.exit_code == 2
    assert said in result.stderr


def test_nothing_is_written_if_one_split_does_not_fit(files, tmp_path):
    bad = write(tmp_path / "bad.jsonl", [rar("?"), {"question": "?"}])
    result = invoke(
        "prepare", "rar-science", "--train", files["train"], "--test", bad, "--out", tmp_path / "x"
    )
    assert result.exit_code == 2
    assert "bad.jsonl, row 2, field rubric: missing" in result.stderr
    assert not (tmp_path / "x").exists()


def test_preview_checks_and_shows_prepared_rows(files, tmp_path):
    sources = ("--train", files["train"], "--test", files["test"], "--duplicates", "keep")
    assert invoke("prepare", "rar-medicine", *sources, "--out", tmp_path).exit_code == 0
    result = invoke(
        *("preview", tmp_path / "train.parquet", tmp_path / "test.parquet", "--row", 3),
        *("--json", tmp_path / "report.json"),
    )
    assert result.exit_code == 0, result.stderr
    assert "rar-medicine,train,index2" in squeezed(result.stdout)
    told = json.loads((tmp_path / "report.json").read_text())
    assert {split: figures["rows"] for split, figures in told["splits"].items()} == {"train": 4, "test": 1}
    assert {each["kind"] for each in told["findings"]} == {"prompt_repeated_train", "prompt_evaluated"}

    result = invoke("preview", tmp_path / "train.parquet", "--row", 5)
    assert result.exit_code == 2
    assert "--row 5: there are 4 rows" in result.stderr


def test_rlla_is_checked_and_what_can_be_used_is_written(tmp_path):
    rows = tasks.generate(3, 0, "train")
    rows[1]["reward_model"]["ground_truth"] = "<think> <tool_call> </think>\n<response> Hi. </response>"
    rows[2]["reward_model"]["ground_truth"] = "4"
    write_parquet(rows, tmp_path / "train.parquet")
    for mode, usable in (("robust", rows[:2]), ("strict", [rows[0], rows[2]])):
        result = invoke(
            *("rlla", tmp_path / "train.parquet", "--mode", mode, "--out", tmp_path / "clean.parquet"),
            *("--json", tmp_path / "report.json"),
        )
        assert result.exit_code == 0, result.stderr
        assert f"clean.parquet:{len(usable)}rows" in squeezed(result.stdout)
        told = json.loads((tmp_path / "report.json").read_text())
        assert (told["rows"], told["usable"], told["mode"]) == (3, len(usable), mode)
        assert read_rlla(tmp_path / "clean.parquet") == usable


def test_the_command_line_loads_neither_arrow_nor_datasets_until_they_are_needed():
    code = "import sys, rvpo_verl.cli; print({'pyarrow', 'datasets', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "set()\n", done.stdout + done.stderr
