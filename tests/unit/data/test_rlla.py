import pyarrow
import pyarrow.parquet
import pytest

from rvpo_verl.cpu import tasks
from rvpo_verl.data.rlla import check_rlla, ground_truth, read_rlla
from rvpo_verl.files import write_parquet
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format
from tests.support.paths import SHARED_DATA
from tests.support.published import write

DATA = SHARED_DATA / "rlla"
ROWS = tasks.generate(20, 0, "train")
CALL = '{"name": "add", "parameters": {"a": 1}}'
PLAIN = f"<think> I add. </think>\n<tool_call>\n{CALL}\n</tool_call>"
THINKS_OF_TAGS = f"<think> I write <tool_call> now. </think>\n<tool_call>\n{CALL}\n</tool_call>"
RESPONSE = "<think> Hm. </think>\n<response> Hello. </response>"
NOT_JSON = "<think> x </think>\n<tool_call>\nadd(1)\n</tool_call>"


def raw(*truths):
    return [
        {"instruction": f"Tools {number}", "input": "Add 1.", "output": truth}
        for number, truth in enumerate(truths)
    ]


def counts(checked):
    return {kind: finding.count for kind, finding in checked.findings.by_kind.items()}


def test_rows_come_back_from_parquet(tmp_path):
    write_parquet(ROWS, tmp_path / "rows.parquet")
    assert read_rlla(tmp_path / "rows.parquet") == ROWS


def test_raw_rows_become_rows_for_verl(tmp_path):
    (row,) = read_rlla(write(tmp_path / "raw.jsonl", raw(PLAIN)), "val")
    assert row == {
        "data_source": "rlla",
        "prompt": [{"role": "system", "content": "Tools 0"}, {"role": "user", "content": "Add 1."}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": PLAIN},
        "extra_info": {
            "split": "val", "index": 0, "instruction": "Tools 0", "input": "Add 1.", "output": PLAIN
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda row: row["reward_model"].update(ground_truth=5), "field reward_model.ground_truth"),
        (lambda row: row["reward_model"].update(ground_truth=""), "field reward_model.ground_truth"),
        (lambda row: row.update(prompt=[]), "field prompt"),
        (lambda row: row.pop("extra_info"), "field extra_info"),
        (lambda row: row["prompt"].append({"role": "user", "content": None}), "field prompt.2.content"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_field(tmp_path, spoil, said):
    (row,) = tasks.generate(1, 0, "train")
    spoil(row)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=rf"rows\.parquet, row 1, {said}"):
        read_rlla(tmp_path / "rows.parquet")


def test_a_raw_row_that_does_not_fit_is_named_with_its_field(tmp_path):
    rows = raw(PLAIN, PLAIN)
    del rows[1]["output"]
    with pytest.raises(ValueError, match=r"raw\.jsonl, row 2, field output: missing or null; found instr"):
        read_rlla(write(tmp_path / "raw.jsonl", rows))


def test_a_file_that_is_no_parquet_or_has_no_rows_is_an_error(tmp_path):
    (tmp_path / "rows.parquet").write_text("{}")
    with pytest.raises(ValueError, match="not a parquet file"):
        read_rlla(tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="has no rows"):
        read_rlla(tmp_path / "rows.jsonl")


def test_what_a_mode_cannot_read_is_dropped_for_that_mode_only(tmp_path):
    rows = read_rlla(write(tmp_path / "raw.jsonl", raw(PLAIN, THINKS_OF_TAGS, NOT_JSON, RESPONSE)))
    robust, strict = check_rlla(rows), check_rlla(rows, "strict")
    assert [ground_truth(row) for row in robust.usable] == [PLAIN, THINKS_OF_TAGS, RESPONSE]
    assert [ground_truth(row) for row in strict.usable] == [PLAIN, RESPONSE]
    assert counts(robust) == counts(strict) == {"unreadable_strict": 2, "unreadable_robust_correctness": 1}
    assert robust.findings.by_kind["unreadable_strict"].where == "row 2"
    assert robust.parts == {"tool call": 3, "response": 1}
    assert robust.calls == {0: 1, 1: 2}


@pytest.mark.parametrize("mode", ["robust", "strict"])
def test_a_usable_row_has_both_rewards_whatever_the_answer(tmp_path, mode):
    rows = read_rlla(write(tmp_path / "raw.jsonl", raw(PLAIN, THINKS_OF_TAGS, NOT_JSON, RESPONSE)))
    for row in check_rlla(rows, mode).usable:
        assert tool_call_correctness("?", ground_truth(row), mode=mode) is not None
        assert tool_call_format("?", ground_truth(row), mode=mode) is not None


def test_a_ground_truth_that_does_not_get_full_marks_itself_is_told(tmp_path):
    truth = f"I add.</think>\n<tool_call>\n{CALL}\n</tool_call>"  # the thought is never opened
    checked = check_rlla(read_rlla(write(tmp_path / "raw.jsonl", raw(PLAIN, truth, RESPONSE))))
    assert counts(checked) == {"imperfect": 1}
    assert checked.findings.by_kind["imperfect"].example.startswith("format 0, correctness 3")


@pytest.mark.parametrize("mode", ["robust", "strict"])
def test_a_finding_names_the_rewards_that_are_missing(tmp_path, mode):
    rows = read_rlla(write(tmp_path / "raw.jsonl", raw(PLAIN, THINKS_OF_TAGS, NOT_JSON, RESPONSE, "Hello.")))
    for row in rows:
        truth = ground_truth(row)
        missing = [
            reward.__name__
            for reward in (tool_call_format, tool_call_correctness)
            if reward(truth, truth, mode=mode) is None
        ]
        said = [
            finding.what.partition(": ")[2]
            for kind, finding in check_rlla([row]).findings.by_kind.items()
            if kind.startswith(f"unreadable_{mode}")
        ]
        assert (
            said
            == {
                0: [],
                1: [f"{' '.join(missing)} is missing"],
                2: ["both rewards are missing"],
            }[len(missing)]
        )


OFFERED = """**Available Tools**
In your response, you can use the following tools:
1. Name: Sum (of two)
Description: Adds.
By hand.
Parameters: {"a": {"type": "int"}, "b": {"type": "int"}}
2. Name: stop
Description:
Parameters: {}

**Steps for Each Turn**
1. Name: think
Description: Think.
Parameters: {}"""


@pytest.mark.parametrize(
    ("calls", "foreign"),
    [
        ('{"name": "Sum (of two)", "parameters": {"a": 1}}\n{"name": "stop", "parameters": {}}', []),
        ('{"name": "Sum", "parameters": {"a": 1}}', ["tool 'Sum'"]),
        ('{"name": "think", "parameters": {}}', ["tool 'think'"]),
        ('{"name": "Sum (of two)", "parameters": {"a": 1, "c": 1}}', ["Sum (of two): parameter 'c'"]),
        ('{"name": "stop", "parameters": {"a": 1}}', ["stop: parameter 'a'"]),
    ],
)
def test_calls_are_compared_with_the_tools_that_the_prompt_offers(tmp_path, calls, foreign):
    truth = f"<think> t </think>\n<tool_call>\n{calls}\n</tool_call>"
    rows = [{"instruction": OFFERED, "input": "Add 1.", "output": truth}, *raw(PLAIN)]
    rows = read_rlla(write(tmp_path / "raw.jsonl", rows))
    kept, dropped = check_rlla(rows), check_rlla(rows, drop_unoffered=True)
    assert kept.unoffered == dropped.unoffered == ({1: foreign} if foreign else {})
    assert len(kept.usable) == 2
    assert len(dropped.usable) == 2 - bool(foreign)


def test_a_constant_strict_reward_is_no_fault_of_a_ground_truth_but_an_earlier_turn_in_it_is(tmp_path):
    turns = f"{PLAIN.replace('1}', '2}')}<|im_start|>assistant\n{PLAIN}"
    checked = check_rlla(read_rlla(write(tmp_path / "raw.jsonl", raw(RESPONSE, turns))), "strict")
    assert counts(checked) == {"imperfect": 1}
    assert checked.findings.by_kind["imperfect"].where == "row 2"
    assert checked.findings.by_kind["imperfect"].example.startswith(
        "format 1, correctness 1:"
    )  # 6 * 2 / 3 - 3


def test_a_prompt_that_is_there_twice_is_told_and_kept():
    checked = check_rlla([*ROWS, ROWS[3]])
    assert counts(checked) == {"prompt_repeated": 1}
    assert checked.findings.by_kind["prompt_repeated"].where == "row 21"
    assert len(checked.usable) == 21


@pytest.mark.skipif(not DATA.exists(), reason="RLLA's rows are not here")
def test_of_rllas_own_rows_robust_reads_all_and_strict_does_not(tmp_path):
    rows = read_rlla(DATA / "test.parquet") + read_rlla(DATA / "raw.jsonl")
    assert len(rows) == 420
    assert counts(check_rlla(rows)) == {"unreadable_strict": 12, "prompt_repeated": 1, "unoffered": 10}
    strict = check_rlla(rows, "strict", drop_unoffered=True)
    assert len(strict.usable) == 398
    write_parquet(strict.usable, tmp_path / "clean.parquet")
    assert counts(check_rlla(read_rlla(tmp_path / "clean.parquet"), "strict")) == {"prompt_repeated": 1}


@pytest.mark.skipif(not DATA.exists(), reason="RLLA's rows are not here")
def test_a_raw_row_becomes_what_rlla_itself_made_of_it(tmp_path):
    published = read_rlla(DATA / "test.parquet")
    fields = ("instruction", "input", "output")
    again = [{field: row["extra_info"][field] for field in fields} for row in published]
    converted = read_rlla(write(tmp_path / "raw.jsonl", again), "test")
    for row in (*converted, *published):
        row["extra_info"]["index"] = 0  # RLLA's own rows were shuffled
    assert converted == published
