"""scripts/eval.sh and `rvpo-verl compare`, whole: a policy and a judge served by vLLM, on generated rows.

The model has random weights: that every answer is asked for, judged, scored and paired is what is seen here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT, SHARED_DATA

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from inspect_ai.log import read_eval_log

from rvpo_verl.evaluation.logs import find_logs
from tests.support.evaluation_rows import write_bfcl, write_gpqa, write_healthbench

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

SAMPLE = SHARED_DATA / "healthbench/sample.jsonl"
ROWS = 3


@pytest.fixture(scope="module")
def evaluated(judge_server, tmp_path_factory):
    """Runs the script for a named checkpoint: its folder of logs, and what it printed."""
    folder = tmp_path_factory.mktemp("evaluation")
    healthbench = write_healthbench(folder / "healthbench.jsonl", ROWS)
    if SAMPLE.exists():
        with SAMPLE.open() as lines, healthbench.open("a") as file:
            file.writelines(line for line, _ in zip(lines, range(1), strict=False))
    # As in .venv-eval, the environment of users; importing verl would also take most of the time here.
    absent = (Path(__file__).parent / "absent.py").read_text()
    (folder / "sitecustomize.py").write_text(f"{absent}\nhide('torch', 'verl')\n")
    environment = os.environ | {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(folder),
        "POLICY_BASE_URL": judge_server.base_url,
        "JUDGE_BASE_URL": judge_server.base_url,
        "JUDGE_MAX_TOKENS": "400",
        "MAX_UNREAD": "0.5",  # a few explanations are longer than that
        "JUDGE_TEMPERATURE": "1",  # at 0 a random model never closes its explanation
        "MAX_TOKENS": "32",
        "HEALTHBENCH_DATA": str(healthbench),
        "GPQA_DATA": str(write_gpqa(folder, ROWS)[1]),
        "BFCL_DATA": str(write_bfcl(folder / "bfcl", ROWS)),
        "BFCL_CATEGORIES": "simple_python,irrelevance",
    }

    def evaluate(checkpoint, tasks):
        out = folder / checkpoint
        command = [ROOT / "scripts/eval.sh", "--display", "plain", "--no-log-realtime"]
        settings = {"TASKS": tasks, "OUT": str(out)}
        run = subprocess.run(
            command, env=environment | settings, cwd=ROOT, capture_output=True, text=True, timeout=500
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return out, run.stdout + run.stderr

    return evaluate


def scored(path):
    return [(sample.id, sample.epoch) for sample in read_eval_log(path).samples if sample.scores]


def test_a_checkpoint_is_evaluated_on_every_benchmark_and_compared(evaluated, tmp_path):
    first, _ = evaluated("first", "healthbench gpqa_diamond bfcl")
    logs = {task: log.path for task, log in find_logs(first).items()}
    assert sorted(logs) == ["bfcl", "gpqa_diamond", "healthbench"]
    assert len(scored(logs["gpqa_diamond"])) == 4 * ROWS
    assert len(scored(logs["bfcl"])) == 2 * ROWS
    assert len(scored(logs["healthbench"])) == ROWS + SAMPLE.exists()

    for sample in read_eval_log(logs["bfcl"], resolve_attachments="full").samples:
        (call,) = [event.call for event in sample.events if event.event == "model"]
        system, user = call.request["messages"]
        assert "1. Name: find_hotel\nDescription: Finds a hotel." in system["content"]
        assert user["content"].startswith("**Dialogue Records History**\n<user> Find a hotel in ")
        assert call.request["tools"] is None

    judged = [
        criterion
        for sample in read_eval_log(logs["healthbench"]).samples
        for criterion in next(iter(sample.scores.values())).metadata["detailed_results"]
    ]
    read = [criterion for criterion in judged if criterion["explanation"] != "No explanation provided"]
    assert len(read) > len(judged) / 2  # the schema holds; a few explanations are longer than the limit

    before = logs["gpqa_diamond"].read_bytes()
    _, printed = evaluated("first", "gpqa_diamond")
    assert "gpqa_diamond (" not in printed  # nothing is run again
    assert [file.read_bytes() for file in (first / "gpqa_diamond").glob("*.eval")] == [before]

    second = shutil.copytree(first / "gpqa_diamond", tmp_path / "second")
    out = [tmp_path / "comparison.md", tmp_path / "comparison.png"]
    arguments = [str(first), str(second), *(word for file in out for word in ("--out", str(file)))]
    command = [sys.executable, "-m", "rvpo_verl", "compare", *arguments, "--resamples", "200"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert "gpqa_diamond: 3 samples paired, 12 answers" in run.stdout
    assert "| domain Physics | 2 |" in out[0].read_text()
    assert out[1].read_bytes().startswith(b"\x89PNG")
