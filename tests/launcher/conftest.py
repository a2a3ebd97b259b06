"""A small policy, its tasks, and `train`, which runs verl's launcher on them."""

import json
import os
import time

import pytest

from rvpo_verl.cpu import launch, policy, tasks
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.files import write_parquet
from tests.support.paths import ROOT

# Some answers of this policy have the right format, most do not. Its heads have the size that vLLM supports.
BRIEF = WarmUp(
    hidden_size=64, intermediate_size=128, heads=2, key_value_heads=2,
    clean_steps=130, flawed_steps=30, batch_size=16,
)  # fmt: skip
PROMPTS, ROLLOUTS = 6, 4


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """Overrides that name a briefly warmed-up policy and generated tasks."""
    folder = tmp_path_factory.mktemp("assets")
    rows = tasks.generate(600, 0, "train")
    warmed_up = policy.warmed_up_policy(rows, BRIEF, cache=folder)
    write_parquet(rows[:48], folder / "train.parquet")
    write_parquet(tasks.generate(8, 0, "held_out"), folder / "held_out.parquet")
    return [
        f"actor_rollout_ref.model.path={warmed_up}",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'held_out.parquet'}",
        f"data.train_batch_size={PROMPTS}",
        f"data.max_prompt_length={BRIEF.max_prompt_tokens}",
        f"data.max_response_length={BRIEF.max_answer_tokens}",
        f"actor_rollout_ref.rollout.n={ROLLOUTS}",
    ]


TRAINING = [
    "actor_rollout_ref.actor.optim.lr=1e-4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=6",
    "actor_rollout_ref.actor.use_dynamic_bsz=True",
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192",
    "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
    "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=8192",
    "actor_rollout_ref.ref.log_prob_use_dynamic_bsz=True",
    "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=8192",
    "trainer.logger=[console,file]",
    "trainer.experiment_name=test",
    "trainer.total_epochs=10",
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "trainer.save_freq=-1",
    "trainer.resume_mode=disable",
]


class Result:
    """The files of a launcher run."""

    def __init__(self, folder):
        self._folder = folder
        self.status = None
        """Exit status after the end."""

    @property
    def steps(self):
        """Metrics by step."""
        steps = {}
        for line in _lines(self._folder / "metrics.jsonl"):
            steps.setdefault(line["step"], {}).update(line["data"])
        return steps

    @property
    def batches(self):
        """What `tests.support.recorder` wrote."""
        return _lines(self._folder / "recorded.jsonl")

    @property
    def log(self):
        return (self._folder / "launcher.log").read_text(errors="replace")

    def rvpo(self, step):
        return {name: value for name, value in self.steps[step].items() if name.startswith("rvpo/")}


def _lines(path):
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture(scope="session")
def train(assets, tmp_path_factory):
    """Run the launcher to its end, or kill it, as a cluster would, once `until(result)` is true."""

    def train(*overrides, ranks=1, rollout="hf", nodes=1, through=(), env=None, until=None, seconds=300):
        folder = tmp_path_factory.mktemp("run")
        result = Result(folder)
        settings = [*launch.cpu_overrides(ranks, rollout, nodes), *TRAINING, *assets, *overrides]
        environment = {
            "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl"),
            "RECORDER_FILE": str(folder / "recorded.jsonl"),
            "VERL_USE_EXTERNAL_MODULES": "rvpo_verl,rvpo_verl.cpu,tests.support.recorder",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            **(env or {}),
        }
        process = launch.launch(
            settings, cwd=folder, log=folder / "launcher.log", env=environment, through=through
        )
        deadline = time.monotonic() + seconds
        try:
            while process.poll() is None and not (until and until(result)):
                if time.monotonic() > deadline:
                    pytest.fail(f"still running after {seconds} s:\n{result.log[-5000:]}")
                time.sleep(0.2)
        finally:
            launch.stop(process)
        result.status = process.returncode
        if until is None and process.returncode != 0:
            pytest.fail(f"exit status {process.returncode}:\n{result.log[-5000:]}")
        return result

    return train
