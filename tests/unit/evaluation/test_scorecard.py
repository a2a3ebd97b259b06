"""scripts/scorecard.sh around a server that starts, answers and ends like vLLM's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from tests.support.evaluation_rows import write_bfcl

pytestmark = pytest.mark.timeout(900)

SCRIPT = ROOT / "scripts/scorecard.sh"
SERVER = """#!PYTHON
import http.server, json, sys
from pathlib import Path
model = Path(sys.argv[2])
with open('STARTED', "a") as file:
    print(*sys.argv[1:], file=file)
if not (model / "config.json").exists():
    sys.exit("no config.json")
reply = (model / "config.json").read_text()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"data": [{"id": "policy"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer({"id": "1", "object": "chat.completion", "created": 0, "model": "policy", "choices": [choice],
                     "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
CALL = '<think> t </think>\\n<tool_call>\\n{"name": "find_hotel", "parameters": {}}\\n</tool_call>'
PLAIN = "<think> t </think>\\n<response> Hello. </response>"


def write_model(folder, reply):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(reply.replace("\\n", "\n"))
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def card(tmp_path):
    server = tmp_path / "vllm"
    server.write_text(SERVER.replace("PYTHON", sys.executable).replace("STARTED", str(tmp_path / "started")))
    server.chmod(0o755)
    # As in .venv-eval, the environment of users; importing verl would also take most of the time here.
    absent = (Path(__file__).parent / "absent.py").read_text()
    (tmp_path / "sitecustomize.py").write_text(f"{absent}\nhide('torch', 'verl')\n")

    def card(*arguments):
        """Exit status, what was printed, and how often a server was started."""
        settings = {
            "PYTHON": sys.executable,
            "PYTHONPATH": str(tmp_path),
            "VLLM": str(server),
            "TASKS": "bfcl",
            "OUT": str(tmp_path / "out"),
            "BFCL_DATA": str(write_bfcl(tmp_path / "bfcl", 6)),
            "BFCL_CATEGORIES": "irrelevance",
        }
        command = [SCRIPT, *map(str, arguments), "--display", "plain", "--no-log-realtime"]
        run = subprocess.run(
            command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True, timeout=400
        )
        started = tmp_path / "started"
        starts = started.read_text().splitlines() if started.exists() else []
        return run.returncode, run.stdout + run.stderr, starts

    return card


def test_one_command_makes_a_card_and_the_next_one_serves_nothing_again(card, tmp_path):
    base = write_model(tmp_path / "base", CALL)
    step = tmp_path / "run/global_step_20"
    write_model(step / "actor/huggingface", PLAIN)
    (tmp_path / "run/latest_checkpointed_iteration.txt").write_text("20")
    status, printed, starts = card(step, "--base", base, "--limit", 4)
    assert status == 0, printed
    assert [start.split()[1] for start in starts] == [str(base), str(step / "actor/huggingface")]
    (file,) = (tmp_path / "out").glob("*.md")
    assert file.name == "run-global_step_20-limit-4.md"
    assert "| 1.000 [1.000, 1.000] | +1.000 [+1.000, +1.000] |" in file.read_text()
    assert "bfcl: 4 samples paired" in file.read_text()

    status, printed, starts = card(step, "--base", base, "--limit", 4)
    assert (status, len(starts)) == (0, 2), printed
    status, printed, starts = card(tmp_path / "run", "--limit", 4)  # the run's newest step, alone
    assert len(starts) == 3, printed
    assert "bfcl: 4 samples\n" in (tmp_path / "out" / f"{tmp_path.name}-run-limit-4.md").read_text()


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (lambda path: None, ["x/y/z"], "x/y/z: no such folder"),
        (lambda path: (path / "empty").mkdir(), ["empty"], "empty has no weights: expected"),
        (lambda path: None, [], "Usage: "),
        (lambda path: None, ["m", "--limit"], "--limit needs a value"),
        (
            lambda path: (write_model(path / "m", "") / "config.json").unlink(),
            ["m"],
            "vLLM ended before",
        ),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_evaluated(card, tmp_path, make, given, said):
    make(tmp_path)
    status, printed, _ = card(*given)
    assert status in (1, 2)
    assert said in printed


def test_shards_of_verl_are_merged(card, tmp_path, monkeypatch):
    actor = tmp_path / "global_step_1/actor"
    (actor / "huggingface").mkdir(parents=True)
    (actor / "model_world_size_2_rank_0.pt").touch()
    merger = tmp_path / "python"
    merger.write_text(
        f'#!/bin/sh\necho merging "$@"\nmkdir -p {actor}/merged.part\n'
        f'printf %s "{PLAIN}" > {actor}/merged.part/config.json\ntouch {actor}/merged.part/model.safetensors\n'
    )
    merger.chmod(0o755)
    monkeypatch.setenv("TRAINING_PYTHON", str(merger))
    status, printed, _ = card(tmp_path / "global_step_1", "--limit", 1)
    assert status == 0, printed
    assert f"merging -m verl.model_merger merge --backend fsdp --local_dir {actor}" in printed
    assert (actor / "merged/config.json").exists()
