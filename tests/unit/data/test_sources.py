import datasets
import pyarrow
import pytest

from rvpo_verl.data.healthbench import HealthBenchRow
from rvpo_verl.data.prepare import sources
from rvpo_verl.data.rar import RarRow
from rvpo_verl.data.rows import RubricRow
from rvpo_verl.data.schema import check
from rvpo_verl.data.sources import from_file, from_hub
from rvpo_verl.errors import UserError
from rvpo_verl.files import open_parquet, read_rows, write_parquet
from tests.support.published import criterion, healthbench, rar, write

ROWS = [rar(f"Question {number}?") for number in range(300)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet", "rows.arrow"])
def test_every_format_gives_the_same_rows_numbered_from_one(tmp_path, name):
    source = from_file(write(tmp_path / name, ROWS))
    assert list(source.rows) == list(enumerate(ROWS, start=1))


def test_what_datasets_itself_wrote_is_read(tmp_path):
    datasets.Dataset.from_list(ROWS[:3]).save_to_disk(tmp_path)
    assert [row for _, row in from_file(next(tmp_path.glob("*.arrow"))).rows] == ROWS[:3]


def test_an_arrow_file_with_an_index_is_read_as_well(tmp_path):
    table = pyarrow.Table.from_pylist(ROWS[:3])
    path = str(tmp_path / "x.arrow")
    with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert [row for _, row in from_file(tmp_path / "x.arrow").rows] == ROWS[:3]


def test_a_json_file_may_hold_one_object_a_line_and_a_number_counts_blank_lines(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\n')
    assert list(from_file(tmp_path / "x.json").rows) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", r"x\.csv: accepted are \.jsonl, \.json, \.parquet and \.arrow"),
        ("x.jsonl", b'{}\n{"a": }\n', r"x\.jsonl, row 2: not JSON"),
        ("x.jsonl", b'{}\n{"a": "\xff"}\n', r"x\.jsonl, row 2: not UTF-8"),
        ("x.json", b"[{}, {]", r"x\.json: not JSON"),
        ("x.parquet", b"{}", r"x\.parquet is not a parquet file"),
        ("x.arrow", b"no arrow at all", r"x\.arrow is not an Arrow file"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(from_file(tmp_path / name).rows)


def test_rows_are_read_one_at_a_time(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\nno JSON\n')
    rows = read_rows(tmp_path / "x.jsonl")
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(UserError, match=r"row 2: not JSON.*found b'no JSON"):
        next(rows)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.jsonl: there is no such file"):
        read_rows(tmp_path / "none.jsonl")


def test_of_a_parquet_file_only_the_requested_columns_are_read(tmp_path):
    write_parquet([{"a": 1, "b": 2}, {"a": 3, "b": 4}], tmp_path / "new" / "x.parquet")
    rows = read_rows(tmp_path / "new" / "x.parquet", columns=["b", "c"])
    assert list(rows) == [(1, {"b": 2}), (2, {"b": 4})]
    assert open_parquet(tmp_path / "new" / "x.parquet").metadata.num_rows == 2


# --- the hub --------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder laid out like RaR's repositories, loaded by the code that loads those."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        write(folder / f"data/{name}-00000-of-00001.parquet", [rar(f"{split}?"), rar(f"{split} again?")])
    return folder


def test_a_repository_is_loaded_with_all_its_splits(repository):
    loaded = from_hub(str(repository))
    assert {
        split: [(number, row["question"]) for number, row in source.rows] for split, source in loaded.items()
    } == {split: [(1, f"{split}?"), (2, f"{split} again?")] for split in ("train", "val", "test")}
    assert loaded["val"].name == f"{repository}, split validation"
    assert all(check(RarRow, row, "") for _, row in from_hub(str(repository))["train"].rows)


def test_a_repository_that_is_not_there_is_an_error_that_says_what_else_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere cannot be loaded from the hub.*--train, --val and --test"):
        from_hub(str(tmp_path / "nowhere"))


def test_a_split_of_unknown_name_is_an_error(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict({"half": []}))
    with pytest.raises(ValueError, match=r"splits \['half'\]; accepted: train, val"):
        from_hub("x/y")


def test_files_come_before_the_hub_and_both_at_once_are_an_error(tmp_path, repository):
    file = write(tmp_path / "a.jsonl", ROWS[:1])
    assert sources("rar-medicine", {"train": file, "val": None})["train"].name == str(file)
    assert set(sources("mine", {"train": None}, str(repository))) == {"train", "val", "test"}
    with pytest.raises(ValueError, match="give either files or --hub"):
        sources("mine", {"train": file}, str(repository))
    with pytest.raises(ValueError, match="no source for healthbench"):
        sources("healthbench", {})


# --- schema ---------------------------------------------------------------------------------------------

GOOD = {
    "data_source": "x",
    "prompt": [{"role": "user", "content": "?"}],
    "ability": "",
    "reward_model": {"style": "rubric", "ground_truth": ""},
    "extra_info": {"rubric": [{"criterion": "Is polite.", "polarity": 1}]},
}


def with_criterion(**changes):
    return {**GOOD, "extra_info": {"rubric": [{**GOOD["extra_info"]["rubric"][0], **changes}]}}


@pytest.mark.parametrize(
    ("model", "row", "message"),
    [
        (RarRow, ["x"], r"f, row 3: found \['x'\]; expected an object. Accepted: question,"),
        (RarRow, {"rubric": []}, "f, row 3, field question: missing or null; found rubric"),
        (RarRow, rar(None), "field question: missing or null; found reference_answer"),
        (RarRow, rar(" "), "field question: found ' '"),
        (RarRow, rar("\ud800"), r"field question: found '\\ud800'; not valid Unicode"),
        (RarRow, {**rar("?"), "rubric": []}, r"field rubric: found \[\]"),
        (RarRow, {**rar("?"), "rubric": "[]"}, r"field rubric: found '\[\]'; input should be a valid list"),
        (RarRow, rar("?", criterion("x"), criterion("y", "5")), "field rubric.1.weight: found '5'"),
        (RarRow, rar("?", criterion("x", float("nan"))), "field rubric.0.weight: found nan"),
        (RarRow, rar("?", criterion("x", True)), "field rubric.0.weight: found True"),
        (RarRow, rar("?", criterion("x", polarity=0)), "field rubric.0.polarity: found 0; expected 1 "),
        (HealthBenchRow, healthbench("?", "8"), "field rubrics.0.points: found '8'"),
        (HealthBenchRow, healthbench(None), "field prompt.0.content: missing or null; found role"),
        (RubricRow, with_criterion(polarity=True), "field extra_info.rubric.0.polarity: found True"),
        (RubricRow, with_criterion(polarity=2), "field extra_info.rubric.0.polarity: found 2; expected 1 "),
        (RubricRow, with_criterion(criterion=None), "rubric.0.criterion: missing or null; found polarity"),
        (RubricRow, with_criterion(weight=-1), "field extra_info.rubric.0.weight: found -1"),
        (RubricRow, with_criterion(levels=0), "field extra_info.rubric.0.levels: found 0"),
        (RubricRow, {**GOOD, "extra_info": {}}, "field extra_info.rubric: missing or null; found nothing"),
        (RubricRow, {**GOOD, "prompt": "?"}, r"field prompt: found '\?'"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_one_message_with_file_row_field_found_and_accepted(model, row, message):
    with pytest.raises(ValueError, match=message) as error:
        check(model, row, "f, row 3")
    assert str(error.value).startswith("f, row 3")
    assert f"Accepted: {model.SHAPE}" in str(error.value)
    assert "\n" not in str(error.value)


def test_null_stands_for_a_field_that_may_be_left_out():
    assert check(RubricRow, with_criterion(title=None, weight=None), "").extra_info.rubric[0].weight == 1.0
    assert check(RarRow, rar("?", answer=None, rubric_count=None), "").reference_answer == ""
