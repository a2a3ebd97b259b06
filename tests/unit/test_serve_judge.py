"""`recipes/judge/serve_vllm.sh` around a server that is not vLLM but starts, answers and ends like it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "recipes/judge/serve_vllm.sh"
SERVER = f"""#!{sys.executable}
import http.server, sys, time
print("given", *sys.argv[1:], flush=True)
time.sleep(1)  # loading the model
if "--broken" in sys.argv:
    sys.exit("no such model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def serve(tmp_path):
    server = tmp_path / "vllm"
    server.write_text(SERVER)
    server.chmod(0o755)
    started = []

    def start(*options, **variables):
        environment = {
            **os.environ,
            "VLLM": str(server),
            "JUDGE_URL_FILE": str(tmp_path / "judge.url"),
            "JUDGE_HOST": "localhost",
        } | variables
        process = subprocess.Popen(
            [str(SCRIPT), *options],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


def test_the_address_is_there_once_the_judge_answers_and_gone_once_it_has_ended(serve, tmp_path):
    file = tmp_path / "judge.url"
    file.write_text("http://an-earlier-judge/v1\n")
    process = serve("--dtype", "half", JUDGE_MODEL="my/judge", JUDGE_TP="4")
    given = process.stdout.readline()
    assert "serve my/judge" in given
    assert "--tensor-parallel-size 4" in given
    assert given.endswith("--dtype half\n")
    assert not file.exists()  # while it loads

    said = process.stdout.readline().strip()
    assert said.startswith("JUDGE_URL=http://localhost:")
    assert f"JUDGE_URL={file.read_text().strip()}" == said
    assert said.endswith("/v1")

    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert not file.exists()
    port = said.split(":")[-1].removesuffix("/v1")
    assert subprocess.run(["curl", "-s", f"http://localhost:{port}/health"]).returncode != 0


def test_a_judge_that_ends_while_it_loads_is_an_error_at_once(serve, tmp_path):
    began = time.monotonic()
    process = serve("--broken")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no such model" in output
    assert "The judge ended before it was ready" in output
    assert not (tmp_path / "judge.url").exists()
    assert time.monotonic() - began < 60  # and not after JUDGE_START_SECONDS


def test_a_judge_that_never_answers_is_given_up(serve):
    output, _ = serve(JUDGE_START_SECONDS="0").communicate(timeout=60)
    assert "The judge was not ready after 0 s" in output
