import json

import pytest

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from rvpo_verl.evaluation import bfcl, tasks
from tests.support.evaluation_rows import write_bfcl, write_gpqa, write_healthbench


@pytest.fixture(autouse=True)
def endpoints(monkeypatch):
    for name in ("JUDGE", "POLICY"):
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv(f"{name}_API_KEY", "EMPTY")


@pytest.mark.parametrize("name", ["healthbench", "healthbench_hard", "healthbench_consensus"])
def test_healthbench_reads_a_local_file(tmp_path, name):
    path = write_healthbench(tmp_path / "rows.jsonl", 3)
    samples = list(getattr(tasks, name)(data=str(path)).dataset)
    assert [sample.id for sample in samples] == ["prompt-0", "prompt-1", "prompt-2"]
    tags = [criterion["tags"] for criterion in samples[0].metadata["rubrics"]]
    assert tags == [["axis:accuracy", "theme:hedging"], ["axis:communication_quality", "theme:hedging"]]


def test_a_healthbench_row_without_an_id_gets_the_same_one_wherever_it_stands(tmp_path):
    rows = [json.loads(line) for line in write_healthbench(tmp_path / "a.jsonl", 2).read_text().splitlines()]
    bare = [{"prompt": row["prompt"], "rubrics": row["rubrics"]} for row in rows]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, bare)))
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, bare[::-1])))
    b, c = (
        [one.id for one in tasks.healthbench(data=str(tmp_path / name)).dataset]
        for name in ("b.jsonl", "c.jsonl")
    )
    assert b == c[::-1]
    assert len(set(b)) == 2


def test_gpqa_reads_csv_and_jsonl_alike_and_shuffles_choices_as_published(tmp_path):
    csv, jsonl = (list(tasks.gpqa_diamond(data=str(path)).dataset) for path in write_gpqa(tmp_path, 6))
    assert [(one.id, one.choices, one.target) for one in csv] == [
        (one.id, one.choices, one.target) for one in jsonl
    ]
    assert len({one.target[0] for one in csv}) > 1
    for one in csv:
        assert one.choices["ABCD".index(one.target[0])] == "right"


def test_bfcl_reads_the_categories_that_are_asked_for(tmp_path):
    folder = write_bfcl(tmp_path, 3)
    samples = list(tasks.bfcl(data=str(folder), categories="simple_python,irrelevance").dataset)
    assert [sample.metadata["category_name"] for sample in samples] == ["simple_python", "irrelevance"] * 3


def test_bfcl_is_v3_unless_asked_otherwise():
    assert bfcl.v3() == [
        "irrelevance", "live_irrelevance", "live_multiple", "live_parallel", "live_parallel_multiple", "live_relevance",
        "live_simple", "multi_turn_base", "multi_turn_long_context", "multi_turn_miss_func", "multi_turn_miss_param",
        "multiple", "parallel", "parallel_multiple", "simple_java", "simple_javascript", "simple_python",
    ]  # fmt: skip


def test_what_is_not_there_is_named(tmp_path):
    folder = str(write_bfcl(tmp_path, 1))
    with pytest.raises(ValueError, match="no such file"):
        tasks.healthbench(data=str(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match=r"no BFCL_v4_multiple\.json, .* for the category multiple"):
        tasks.bfcl(data=folder, categories="multiple")
    with pytest.raises(ValueError, match="categories \\['simple'\\]: expected some of"):
        tasks.bfcl(data=folder, categories="simple")
    (tmp_path / "rows.jsonl").write_text('{"prompt": [{"role": "user", "content": "a"}]}')
    with pytest.raises(ValueError, match="row 1, field rubrics: missing"):
        tasks.healthbench(data=str(tmp_path / "rows.jsonl"))
    (tmp_path / "gpqa.jsonl").write_text('{"Question": "a"}')
    with pytest.raises(ValueError, match="no column 'Correct Answer'"):
        tasks.gpqa_diamond(data=str(tmp_path / "gpqa.jsonl"))
