"""verl's launcher on rubrics of different lengths: two steps of a policy with random weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvpo_verl.cpu import launch
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.files import write_parquet
from tests.support.paths import ROOT
from tests.support.random_policy import save_random_policy

JUDGE = "reward.rvpo.rewards.rubric.kwargs.judge"
CRITERIA = (5, 17, 5, 17)
"""Criteria of each prompt of a batch."""
ROLLOUTS, STEPS, WORKERS = 4, 2, 2
POLICY = WarmUp(merges=50, hidden_size=32, intermediate_size=64, layers=1, positions=256)
CATEGORIES = ("Essential", "Important", "Optional", "Pitfall")


def rows():
    """A rubric of 5 or 17 criteria for each prompt: binary and graded, good and bad if true."""
    return [
        {
            "data_source": "rubrics",
            "prompt": [{"role": "user", "content": f"Question {prompt}: what helps against a cough?"}],
            "ability": "medicine",
            "reward_model": {"style": "rubric", "ground_truth": ""},
            "extra_info": {
                "index": prompt,
                "rubric": [
                    {
                        "criterion": f"P{prompt}C{number}",
                        "category": CATEGORIES[number % 4],
                        "weight": (1.0, 0.7, 0.3, 0.9)[number % 4],
                        "polarity": -1 if number % 4 == 3 else 1,
                        "levels": 4 if number % 5 == 4 else 1,
                    }
                    for number in range(count)
                ],
            },
        }
        for prompt, count in enumerate(CRITERIA)
    ]


def _overrides(folder: Path, endpoint: str, use_v1: bool) -> list[str]:
    return [
        *launch.cpu_overrides(),
        "+rvpo=rubrics",
        f"{JUDGE}.endpoints=[{endpoint}]",
        f"reward.num_workers={WORKERS}",
        f"trainer.use_v1={use_v1}",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'train.parquet'}",
        f"data.train_batch_size={len(CRITERIA)}",
        "data.max_prompt_length=64",
        "data.max_response_length=8",
        f"actor_rollout_ref.model.path={folder / 'policy'}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={len(CRITERIA)}",
        "actor_rollout_ref.actor.use_kl_loss=False",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=4096",
        f"actor_rollout_ref.rollout.n={ROLLOUTS}",
        "trainer.logger=[console,file]",
        "trainer.experiment_name=rubrics",
        f"trainer.total_training_steps={STEPS}",
        f"trainer.total_epochs={STEPS}",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.resume_mode=disable",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
    ]


@dataclass(frozen=True)
class RubricRun:
    steps: list[dict[str, Any]]
    """What `tests.support.rubric_recorder` wrote, a dict a step."""
    metrics: list[dict[str, Any]]
    """What verl logged, a dict a step."""
    output: str


def train_on_rubrics(
    folder: Path, endpoint: str, *overrides: str, use_v1: bool = True, env: dict[str, str] | None = None
) -> RubricRun:
    """Args:
    endpoint: of the judge, as Hydra reads it.
    """
    write_parquet(rows(), folder / "train.parquet")
    save_random_policy(folder / "policy", rows(), POLICY)
    recorded, metrics, log = (folder / name for name in ("recorded.jsonl", "metrics.jsonl", "launcher.log"))
    environment = {
        "VERL_USE_EXTERNAL_MODULES": "rvpo_verl,rvpo_verl.cpu,tests.support.rubric_recorder",
        "PYTHONPATH": str(ROOT),
        "RECORDER_FILE": str(recorded),
        "VERL_FILE_LOGGER_PATH": str(metrics),
        **(env or {}),
    }
    settings = [*_overrides(folder, endpoint, use_v1), *overrides]
    process = launch.launch(settings, cwd=folder, log=log, env=environment)
    try:
        status = process.wait(700)
    finally:
        launch.stop(process)
    output = log.read_text(errors="replace")
    assert status == 0, output[-5000:]
    return RubricRun(_lines(recorded), [line["data"] for line in _lines(metrics)], output)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
