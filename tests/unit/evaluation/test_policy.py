"""A scripted policy and judge over HTTP: what a server refuses costs one sample, and the task ends with a score."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from inspect_ai import eval as run_task
from inspect_ai.model import get_model

from rvpo_verl.evaluation import tasks
from rvpo_verl.evaluation.comparison import compare
from rvpo_verl.evaluation.logs import Log, read_result
from rvpo_verl.evaluation.policy import refusal
from tests.support.evaluation_rows import write_bfcl, write_gpqa, write_healthbench
from tests.support.scripted_judge import scripted_judge

TOO_LONG = "the prompt is longer than the model's context"
FILTERED = "a content filter stopped the answer"
REFUSALS = [
    (400, "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.", TOO_LONG),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", TOO_LONG),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens).", TOO_LONG),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.", TOO_LONG),
    (400, "the request exceeds the available context size", TOO_LONG),
    (413, "Request Entity Too Large", TOO_LONG),
    (400, "The response was filtered by Azure OpenAI's content management policy.", FILTERED),
    (403, "Your request was flagged by our moderation", FILTERED),
]  # fmt: skip


@pytest.fixture
def policy(monkeypatch):
    with scripted_judge(model="m", reply="ANSWER: A") as server:
        monkeypatch.setenv("POLICY_BASE_URL", server.base_url)
        monkeypatch.setenv("POLICY_API_KEY", "EMPTY")
        yield server


def ran(task, tmp_path, model="policy/m"):
    asked = get_model(model, memoize=False)  # the next test's server has another address
    (log,) = run_task(task, model=asked, display="none", log_dir=str(tmp_path), epochs=1)
    return log


def read(log):
    return read_result(Log(Path(log.location.removeprefix("file://")), log))


@pytest.mark.parametrize(("status", "message", "reason"), REFUSALS)
def test_a_request_that_is_refused_fails_its_sample_and_is_counted(policy, tmp_path, status, message, reason):
    policy.tell(refuse={"these, 1?": [status, message]})
    log = ran(tasks.gpqa_diamond(data=str(write_gpqa(tmp_path, 3)[1])), tmp_path)
    assert log.status == "success"
    result = read(log)
    assert len(result.samples) == 3
    (refused,) = [scores for scores in result.samples.values() if scores.unanswered]
    assert (refused.unanswered, refused.groups["", "overall"]) == (reason, 0.0)
    (warning,) = compare([result], ["A"], resamples=100).warnings
    assert warning == f"A: 1 of 3 answers count as failed: 1 x {reason} (rec1)"


def test_an_answer_that_a_filter_cut_off_is_failed(policy, tmp_path):
    policy.tell(finish_reason="content_filter")
    result = read(ran(tasks.gpqa_diamond(data=str(write_gpqa(tmp_path, 3)[1])), tmp_path))
    assert {scores.groups["", "overall"] for scores in result.samples.values()} == {0.0}
    assert {scores.unanswered for scores in result.samples.values()} == {FILTERED}


def test_a_refusal_of_any_request_ends_the_task(policy, tmp_path):
    policy.tell(refuse={"these, 1?": [400, "unexpected keyword 'temperature'"]})
    log = ran(tasks.gpqa_diamond(data=str(write_gpqa(tmp_path, 3)[1])), tmp_path)
    assert log.status == "error"


@pytest.mark.parametrize("model", ["policy/m", "rlla/m"])
def test_no_answer_is_wrong_also_where_no_call_is_right(policy, tmp_path, model):
    policy.tell(refuse={"Paris": [413, "too large"]})
    log = ran(tasks.bfcl(data=str(write_bfcl(tmp_path, 2)), categories="irrelevance"), tmp_path, model)
    scores = {key[0]: scores.groups["", "overall"] for key, scores in read(log).samples.items()}
    assert scores == {"irrelevance_0": 0.0, "irrelevance_1": 1.0}


def test_what_says_nothing_of_length_or_filter_is_no_refusal_of_one_request():
    assert refusal(ValueError("model not found")) is None
    assert refusal(ValueError("Incorrect API key provided")) is None


@pytest.fixture
def script(tmp_path):
    # As in .venv-eval, the environment of users; importing verl would also take most of the time here.
    absent = (Path(__file__).parent / "absent.py").read_text()
    (tmp_path / "sitecustomize.py").write_text(f"{absent}\nhide('torch', 'verl')\n")

    def script(policy, judge, out):
        """scripts/eval.sh on a few generated rows: its exit status and what it printed."""
        settings = {
            "PYTHON": sys.executable,
            "PYTHONPATH": str(tmp_path),
            "OUT": str(tmp_path / out),
            "TASKS": "healthbench bfcl",
            "POLICY_BASE_URL": policy.base_url,
            "JUDGE_BASE_URL": judge.base_url,
            "HEALTHBENCH_DATA": str(write_healthbench(tmp_path / "healthbench.jsonl", 2)),
            "BFCL_DATA": str(write_bfcl(tmp_path / "bfcl", 2)),
            "BFCL_CATEGORIES": "irrelevance",
        }
        command = [ROOT / "scripts/eval.sh", "--display", "plain", "--no-log-realtime"]
        run = subprocess.run(
            command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True, timeout=400
        )
        return run.returncode, " ".join((run.stdout + run.stderr).split())

    return script


@pytest.mark.timeout(900)
def test_the_script_ends_with_scores_names_what_was_refused_and_fails_where_no_verdict_can_be_read(script):
    verdict = '{"explanation": "so", "criteria_met": true}'
    with scripted_judge(model="m", reply="Hello.") as policy, scripted_judge(model="j") as judge:
        policy.tell(refuse={"Paris": [400, "maximum context length is 9 tokens"]})
        for reply, expected in ((verdict, 0), ("I cannot say.", 1)):
            judge.tell(reply=reply)
            status, printed = script(policy, judge, f"out {expected}")
            assert status == expected, printed
            assert f"1 of 2 answers count as failed: 1 x {TOO_LONG} (irrelevance_0)" in printed
            assert re.search(r"Score card.*bfcl 2 out \d 0\.500 \[0\.000, 1\.000\]", printed), printed
            unread = "Too many of the judge's verdicts could not be read: healthbench 100%"
            assert (unread in printed) == bool(status)
