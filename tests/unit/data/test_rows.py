import json
import re

import datasets
import hypothesis.strategies as st
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from omegaconf import OmegaConf

from rvpo_verl.data.options import Options, Shape
from rvpo_verl.data.prepare import prepare
from rvpo_verl.data.rows import read_rows, rubric, write_rows
from rvpo_verl.data.sources import Source
from tests.support.paths import ROOT
from tests.support.published import criterion, healthbench, rar, write

DOCUMENTATION = ROOT / "docs" / "data.md"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FILLED = TEXT.filter(str.strip)
CRITERION = st.fixed_dictionaries(
    {
        "criterion": FILLED,
        "polarity": st.sampled_from([1, -1]),
        "weight": st.floats(0, allow_infinity=False),
        "title": TEXT,
        "category": TEXT,
        "levels": st.integers(1, 10),
        "judge": st.text(max_size=3),
    }
)
ROW = st.fixed_dictionaries(
    {
        "data_source": FILLED,
        "prompt": st.lists(st.fixed_dictionaries({"role": FILLED, "content": TEXT}), min_size=1, max_size=3),
        "ability": TEXT,
        "reward_model": st.fixed_dictionaries({"style": TEXT, "ground_truth": TEXT}),
        "extra_info": st.fixed_dictionaries(
            {
                "split": TEXT,
                "index": st.integers(-(2**63), 2**63 - 1),
                "rubric": st.lists(CRITERION, min_size=1, max_size=4),
                "id": TEXT,
                "source": TEXT,
            }
        ),
    }
)


@given(rows=st.lists(ROW, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_writing_and_reading_keeps_rows(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    write_rows(rows, path)
    assert read_rows(path) == rows


@given(rows=st.lists(ROW, min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_parquet_and_jsonl_of_ones_own_are_the_same_rows(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    assert read_rows(write(folder / "rows.jsonl", rows)) == rows
    assert read_rows(write(folder / "rows.parquet", rows)) == rows


def test_fields_that_may_be_left_out_get_their_defaults(tmp_path):
    row = {
        "data_source": "mine",
        "prompt": [{"role": "user", "content": "?"}],
        "ability": "rubric",
        "reward_model": {"style": "rubric", "ground_truth": ""},
        "extra_info": {"rubric": [{"criterion": "Is polite."}], "more": {"of": "my own"}},
    }
    (read,) = read_rows(write(tmp_path / "rows.jsonl", [row]))
    assert rubric(read) == [
        {
            "criterion": "Is polite.",
            "polarity": 1,
            "weight": 1.0,
            "title": "",
            "category": "",
            "levels": 1,
            "judge": "",
        }
    ]


def test_the_row_in_the_documentation_is_a_row(tmp_path):
    (example,) = re.findall(r"```json\n(.+?)```", DOCUMENTATION.read_text(), flags=re.DOTALL)
    (row,) = read_rows(write(tmp_path / "rows.jsonl", [json.loads(example)]))
    assert [each["polarity"] for each in rubric(row)] == [1, -1]


def test_every_file_has_the_same_types_whatever_is_in_it(tmp_path):
    for shape, given_ in ((Shape.rar, rar("a", answer=None)), (Shape.healthbench, healthbench("b", 1, -2))):
        result = prepare("mine", shape, {"test": Source("x", [(1, given_)])}, Options())
        write_rows(result.splits["test"], tmp_path / f"{shape.value}.parquet")
    row = read_rows(tmp_path / "rar.parquet")[0]
    row = dict(reversed(row.items()))
    row["extra_info"] = {"rubric": [{"weight": 1, "polarity": 1, "criterion": "x"}], "split": "test"}
    write_rows([row], tmp_path / "own.parquet")
    first, second, third = (
        pyarrow.parquet.read_schema(tmp_path / f"{name}.parquet") for name in ("rar", "healthbench", "own")
    )
    assert first.equals(second) and first.equals(third)


def test_a_file_without_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"rows\.jsonl has no rows"):
        read_rows(write(tmp_path / "rows.jsonl", []))


def test_an_interrupted_write_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    rows = prepare("mine", Shape.rar, {"test": Source("x", [(1, rar("a"))])}).splits["test"]
    path = tmp_path / "rows.parquet"
    write_rows(rows, path)
    with pytest.raises(pyarrow.ArrowTypeError):
        write_rows([*rows, {**rows[0], "data_source": 5}], path)
    assert read_rows(path) == rows


# --- verl -----------------------------------------------------------------------------------------------


@pytest.fixture
def verls_dataset(tmp_path, monkeypatch):
    """verl's own dataset on files of rows, with a tokenizer built on the spot."""
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from rvpo_verl.cpu.policy import build_tokenizer

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    tokenizer = build_tokenizer(["How much paracetamol may an adult take?"], merges=10)

    def load(*files, max_prompt_length=512):
        config = {
            "cache_dir": str(tmp_path / "verl"),
            "max_prompt_length": max_prompt_length,
            # With worker processes `datasets` leaves another object behind as os.environ.
            "filter_overlong_prompts_workers": None,
        }
        return RLHFDataset([str(file) for file in files], tokenizer, OmegaConf.create(config))

    return load


def test_verls_own_dataset_loads_the_files_and_the_rubric_arrives_intact(tmp_path, verls_dataset):
    from verl.utils.dataset.rl_dataset import collate_fn

    many = [criterion(f"Essential Criteria: States fact {number} “é”.") for number in range(17)]
    pitfalls = [criterion(f"Pitfall Criteria: Avoids error {number}.", -1) for number in range(4)]
    sources = {
        Shape.rar: [rar("How much?", *many), rar("How often?", many[0], *pitfalls)],
        Shape.healthbench: [healthbench("And now?", 7, -10)],
    }
    written, files = [], []
    for shape, given_ in sources.items():
        rows = prepare("mine", shape, {"val": Source("x", enumerate(given_, start=1))}).splits["val"]
        files.append(tmp_path / f"{shape.value}.parquet")
        write_rows(rows, files[-1])
        written += rows

    loaded = verls_dataset(*files)
    assert len(loaded) == 3
    batch = collate_fn([loaded[index] for index in range(3)])
    assert list(batch["extra_info"]) == [row["extra_info"] for row in written]
    assert [len(info["rubric"]) for info in batch["extra_info"]] == [17, 5, 2]
    assert list(batch["raw_prompt"]) == [row["prompt"] for row in written]
    assert list(batch["reward_model"]) == [row["reward_model"] for row in written]
    assert list(batch["data_source"]) == ["mine"] * 3
    assert list(batch["index"]) == [0, 1, 0]


def test_verl_filters_long_prompts_of_these_files(tmp_path, verls_dataset):
    given_ = [(1, rar("Short?")), (2, rar("Long? " * 500))]
    write_rows(
        prepare("mine", Shape.rar, {"train": Source("x", given_)}).splits["train"], tmp_path / "x.parquet"
    )
    assert len(verls_dataset(tmp_path / "x.parquet", max_prompt_length=128)) == 1
