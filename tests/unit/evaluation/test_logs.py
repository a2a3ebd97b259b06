"""inspect runs the tasks on an endpoint that always answers the same; what its logs are read as is known by hand."""

import shutil

import pytest

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

import inspect_ai
from inspect_ai.log import read_eval_log

from rvpo_verl.evaluation import tasks
from rvpo_verl.evaluation.comparison import compare_logs
from rvpo_verl.evaluation.logs import find_logs, read_result
from tests.support.evaluation_rows import write_bfcl, write_healthbench
from tests.support.scripted_judge import scripted_judge

MET = '{"explanation": "as scripted", "criteria_met": true}'
CALL = (
    '<think> t </think>\n<tool_call>\n{"name": "find_hotel", "parameters": {"city": "Paris"}}\n</tool_call>'
)


@pytest.fixture(scope="module")
def endpoint():
    with scripted_judge(model="served") as server:
        yield server


@pytest.fixture
def evaluate(endpoint, monkeypatch, tmp_path):
    for role in ("POLICY", "JUDGE"):
        monkeypatch.setenv(f"{role}_BASE_URL", endpoint.base_url)
        monkeypatch.setenv(f"{role}_API_KEY", "EMPTY")
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))

    def run(task, model, reply, folder="logs", status=None, **options):
        endpoint.tell(reply=reply, status=status)
        (log,) = inspect_ai.eval(
            task, model=model, log_dir=str(tmp_path / folder), display="none", ctl_server=False, **options
        )
        assert log.status == "success", log.error.message
        return tmp_path / folder

    return run


def by_group(folder, task):
    result = read_result(find_logs(folder)[task])
    return {key: scores.groups for key, scores in result.samples.items()}


def test_healthbench_is_read_by_axis_and_theme(evaluate, tmp_path):
    task = tasks.healthbench(
        data=str(write_healthbench(tmp_path / "rows.jsonl", 2)), judge_model="openai-api/judge/m"
    )
    logs = evaluate(task, "openai-api/policy/served", MET, epochs=2)
    # Both criteria met, 5 points and -3, of 5 possible; nothing is to be gained for communication quality.
    expected = {("", "overall"): 0.4, ("axis", "accuracy"): 1.0, ("theme", "hedging"): 0.4}
    keys = [("prompt-0", 1), ("prompt-0", 2), ("prompt-1", 1), ("prompt-1", 2)]
    assert by_group(logs, "healthbench") == dict.fromkeys(keys, pytest.approx(expected))


def test_calls_in_rllas_format_reach_bfcls_scorer(evaluate, tmp_path):
    def bfcl():
        return tasks.bfcl(data=str(write_bfcl(tmp_path / "bfcl", 3)), categories="simple_python,irrelevance")

    called = evaluate(bfcl(), "rlla/served", CALL, "called")
    # Paris is asked for in the first row only, and where no tool is needed a call is wrong.
    assert {key[0]: groups["", "overall"] for key, groups in by_group(called, "bfcl").items()} == {
        "simple_python_0": 1, "simple_python_1": 0, "simple_python_2": 0,
        "irrelevance_0": 0, "irrelevance_1": 0, "irrelevance_2": 0,
    }  # fmt: skip
    # The whole answer, thought included: inspect itself moves thoughts out of the text.
    (called_log,) = called.glob("*.eval")
    assert {sample.output.message.text for sample in read_eval_log(called_log).samples} == {CALL}
    broken = evaluate(bfcl(), "rlla/served", CALL[:-40], "broken")
    assert {groups["", "overall"] for key, groups in by_group(broken, "bfcl").items() if "irr" in key[0]} == {
        1
    }

    (comparison,) = compare_logs([called, broken], resamples=200)
    assert [(row.name, [score.value for score in row.compared.scores]) for row in comparison.rows] == [
        ("overall", [pytest.approx(1 / 6), pytest.approx(1 / 2)]),
        ("irrelevance", [0, 1]),
        ("simple_python", [pytest.approx(1 / 3), 0]),
    ]
    assert comparison.warnings == []

    with pytest.raises(ValueError, match=r"no task in common: .*called: bfcl; .*none: healthbench"):
        task = tasks.healthbench(
            data=str(write_healthbench(tmp_path / "rows.jsonl", 1)), judge_model="openai-api/judge/m"
        )
        compare_logs([called, evaluate(task, "openai-api/policy/served", MET, "none")])


def test_an_endpoint_that_refuses_ends_the_evaluation_with_its_reason(endpoint, evaluate, tmp_path):
    bfcl = tasks.bfcl(data=str(write_bfcl(tmp_path / "bfcl", 1)), categories="irrelevance")
    try:
        with pytest.raises(AssertionError, match="400"):
            evaluate(bfcl, "rlla/served", CALL, status=400)
    finally:
        endpoint.tell(status=None)


def test_a_task_without_a_score_hides_no_other(endpoint, evaluate, tmp_path):
    bfcl = tasks.bfcl(data=str(write_bfcl(tmp_path / "bfcl", 1)), categories="irrelevance")
    health = tasks.healthbench(
        data=str(write_healthbench(tmp_path / "rows.jsonl", 1)), judge_model="openai-api/judge/m"
    )
    evaluate(health, "openai-api/policy/served", MET)
    try:
        with pytest.raises(AssertionError, match="400"):
            evaluate(bfcl, "rlla/served", CALL, status=400)
    finally:
        endpoint.tell(status=None)
    (comparison,) = compare_logs([tmp_path / "logs"], resamples=200)
    assert comparison.task == "healthbench"
    assert "a task is left out: " in comparison.warnings[-1]
    assert "has no sample with a score" in comparison.warnings[-1]


def test_of_a_tasks_logs_the_newest_that_is_finished_is_read(evaluate, tmp_path):
    bfcl = tasks.bfcl(data=str(write_bfcl(tmp_path / "bfcl", 1)), categories="irrelevance")
    logs = evaluate(bfcl, "rlla/served", CALL)
    (old,) = logs.glob("*.eval")
    shutil.copy(old, tmp_path / "kept.eval")
    evaluate(bfcl, "rlla/served", "no call")
    assert by_group(logs, "bfcl") == {
        ("irrelevance_0", 1): {("", "overall"): 1, ("category", "irrelevance"): 1}
    }
    assert by_group(tmp_path / "kept.eval", "bfcl")["irrelevance_0", 1]["", "overall"] == 0


def test_what_is_no_log_is_named(tmp_path):
    with pytest.raises(ValueError, match="no logs in it"):
        find_logs(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json cannot be read as a log of inspect"):
        find_logs(tmp_path)
