"""Reading a run's files: what verl writes in all its forms, and what is damaged."""

import json
import tracemalloc

import orjson
import pytest

from rvpo_verl.errors import UserError
from rvpo_verl.report.content import Limits, gather
from rvpo_verl.report.logs import labels
from rvpo_verl.report.read import Problems, find_run
from rvpo_verl.report.select import choose
from rvpo_verl.rewards.vector import KEY
from tests.support.report_run import answer, write_dump, write_run


def index_of(*runs, **limits):
    content = gather([find_run(run) for run in runs], Limits(**limits))
    return content, orjson.loads(content.index)


def test_a_damaged_line_is_reported_and_left_out(tmp_path):
    rows = [answer("g", number, {"a": float(number)}) for number in range(3)]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    damaged = [
        b"not json", b'{"cut": "off', b"[1, 2]", b'{"input": "x", "output": "y"}', b'\xff\xfe{"input": 1}',
        json.dumps(rows[0] | {KEY: "no vector"}).encode(),
        json.dumps(rows[0] | {KEY: '{"scores": {"a": "high"}}'}).encode(),
        json.dumps(rows[0] | {"score": "1.0"}).encode(), json.dumps(rows[0] | {"output": None}).encode(),
    ]  # fmt: skip
    with open(tmp_path / "rollouts/1.jsonl", "ab") as file:
        file.write(b"\n".join(damaged))
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "data": {"rvpo/k": 2.0}}\n{"step": 2}\nnull\n{"step": 3, "da'
    )
    content, index = index_of(tmp_path)
    assert content.answers == 3
    assert len(content.problems) == len(damaged) + 3
    assert all(
        line.startswith(("rollouts/1.jsonl, line", f"{tmp_path.name}/metrics.jsonl"))
        for line in content.problems
    )
    assert "perhaps still being written" in content.problems[2]
    assert index["runs"][0]["metrics"]["rvpo/k"] == [2.0]


def test_numbers_that_json_does_not_have_are_missing(tmp_path):
    """verl before 0.9 writes NaN for a reward that is not there."""
    rows = [answer("g", number, {"a": float(number), "b": None}, b=float("nan")) for number in range(2)]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    _, index = index_of(tmp_path)
    assert index["answers"]["rewards"] == [0.0, None, 1.0, None]


def test_answers_are_grouped_by_uid_or_else_by_prompt(tmp_path):
    with_uid = [answer(group, number, {"a": 1.0}, input="the same") for group in "xy" for number in range(2)]
    without = [{k: v for k, v in row.items() if k != "uid"} | {"input": row["uid"][0]} for row in with_uid]
    write_dump(tmp_path / "rollouts/1.jsonl", with_uid)
    write_dump(tmp_path / "rollouts/2.jsonl", without)
    _, index = index_of(tmp_path)
    assert index["groups"]["size"] == [2, 2, 2, 2]


def test_an_agent_session_counts_once_with_its_last_output(tmp_path):
    rows = [
        answer("g", 0, {"a": 1.0}, uid="g_0_0", output="a call"),
        answer("g", 0, {"a": 1.0}, uid="g_0_10", output="the end"),
        answer("g", 0, {"a": 1.0}, uid="g_0_9", output="in between"),
        answer("g", 1, {"a": 0.0}, uid="g_1_0"),
    ]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    chosen = choose(tmp_path / "rollouts/1.jsonl", 10, Problems())
    assert chosen.groups[0].outputs == ["the end", "Answer 1 to g."]


def test_rewards_of_other_managers_are_columns_that_the_metrics_name(tmp_path):
    rows = [answer("g", number, {"x": 0.0}) | {"format": 1.0, "other": 5} for number in range(2)]
    for row in rows:
        del row[KEY]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    _, index = index_of(tmp_path)
    assert index["names"] == [["score"]]
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": {"rvpo/format/mean": 1.0}}) + "\n")
    _, index = index_of(tmp_path)
    assert index["names"] == [["format"]]


def test_half_of_the_groups_are_those_that_disagree_most_and_half_are_drawn(tmp_path):
    rows = []
    for group in range(200):
        for number in range(4):
            conflict = group < 20
            first = float(number % 2)
            rows.append(answer(f"g{group:03}", number, {"a": first, "b": 1 - first if conflict else first}))
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    chosen = choose(tmp_path / "rollouts/1.jsonl", 40, Problems())
    prompts = [group.prompt for group in chosen.groups]
    in_conflict = [prompt for prompt in prompts if int(prompt.split("g")[1][:3]) < 20]
    assert len(prompts) == len(set(prompts)) == 40
    assert len(in_conflict) == 20  # all of them
    assert chosen.of == 200 and chosen.answers == 800


def test_the_same_prompts_are_shown_of_every_validation(tmp_path):
    for step in range(5):
        rows = [
            answer(f"{step}-{prompt}", 0, {"a": 1.0}, input=f"prompt {prompt}", step=step)
            for prompt in range(50)
        ]
        write_dump(tmp_path / f"validation/{step}.jsonl", rows)
    _, index = index_of(tmp_path, groups=20)
    groups = index["groups"]
    by_step = [
        {prompt for prompt, of in zip(groups["prompt"], groups["step"], strict=True) if of == step}
        for step in range(5)
    ]
    assert len(by_step[0]) == 4 and all(prompts == by_step[0] for prompts in by_step)


def test_the_page_keeps_to_its_number_of_groups_over_all_runs(tmp_path):
    runs = [write_run(tmp_path / str(number), steps=7, groups=30, size=2) for number in range(2)]
    content, index = index_of(*runs, groups=50)
    assert content.groups <= 50 and len(index["runs"]) == 2
    assert {0, 1} == set(index["groups"]["run"])


def test_k_of_a_step_without_settings_is_the_one_that_was_logged(tmp_path):
    write_dump(tmp_path / "validation/3.jsonl", [answer("g", 0, {"a": 1.0}, step=3, rvpo_settings=None)])
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "data": {"rvpo/k": 1.25}}\n')
    _, index = index_of(tmp_path)
    assert index["settings"] == [{"k": 1.25}]


def test_memory_holds_no_text_that_is_not_shown(tmp_path):
    rows = [
        answer(f"g{number // 4}", number % 4, {"a": float(number % 3)}, output=f"{number} " * 20_000)
        for number in range(400)
    ]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    size = (tmp_path / "rollouts/1.jsonl").stat().st_size
    del rows
    tracemalloc.start()
    gather([find_run(tmp_path)], Limits(groups=5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 20e6 and peak < size / 5


def test_what_is_no_run_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(
        UserError, match=r"nothing to show; expected metrics\*\.jsonl .*trainer\.rollout_data_dir"
    ):
        find_run(tmp_path)
    with pytest.raises(UserError, match="no such folder or file"):
        find_run(tmp_path / "absent")


def test_the_logs_of_a_resumed_run_are_read_in_their_order(tmp_path):
    for start, k in ((1, 1.0), (2, 2.0), (10, 10.0)):
        (tmp_path / f"metrics-{start}.jsonl").write_text(
            json.dumps({"step": 5, "data": {"rvpo/k": k}}) + "\n"
        )
    _, index = index_of(tmp_path)
    assert index["runs"][0]["metrics"]["rvpo/k"] == [10.0]


def test_rewards_that_the_estimator_does_not_log_are_averaged_over_the_dumps(tmp_path):
    """As for grpo, which logs the sum."""
    rows = [
        answer("g", number, {"rubric/Good/1": float(number), "rubric/Good/2": None}) for number in range(4)
    ]
    write_dump(tmp_path / "rollouts/1.jsonl", rows)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "data": {"critic/score/mean": 1.0}}\n')
    _, index = index_of(tmp_path)
    assert index["runs"][0]["metrics"]["rvpo/rubric/Good/mean"] == [1.5]


def test_runs_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    runs = [tmp_path / parent / "run" for parent in ("a", "b")]
    for run in runs:
        run.mkdir(parents=True)
    assert labels(runs) == ["a/run", "b/run"]
