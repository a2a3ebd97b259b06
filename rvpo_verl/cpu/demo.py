"""The demo: verl's launcher trains a tiny tool-calling policy on this machine's CPU.

Rewards are compared on held-out prompts before and after, by verl's own validation (sampled) and greedily.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvpo_verl.core import aggregations
from rvpo_verl.cpu import demo_plan, demo_scores, launch, policy
from rvpo_verl.cpu.demo_plan import SAMPLES, Message, Plan
from rvpo_verl.cpu.demo_scores import REWARDS, Change
from rvpo_verl.cpu.launch import LauncherError
from rvpo_verl.errors import UserError
from rvpo_verl.files import write_parquet

ESTIMATORS = ("rvpo", "grpo", "gdpo")

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called with the name of a stage, the step, the stage's steps, and figures of the step."""


@dataclass(frozen=True)
class DemoResult:
    changes: list[Change]
    """Of each reward, then of the share of answers that are perfect under both."""
    steps: int
    prompts: int
    """Distinct held-out prompts."""
    answers: int
    """Sampled answers in a validation."""
    seconds: float
    checkpoint: Path
    metrics: Path
    """JSONL of verl's file logger."""
    log: Path
    """Output of verl's launcher."""

    def figures(self) -> dict[str, Any]:
        """What `rvpo-verl demo --json` writes."""
        sampled = {change.name: change.sampled for change in self.changes if change.name in REWARDS}
        return {
            "rewards": {
                name: {"before": before, "after": after} for name, (before, after) in sampled.items()
            },
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
        }


def run_demo(
    *,
    estimator: str = "rvpo",
    aggregation: str | None = None,
    steps: int = 20,
    seed: int = 0,
    ranks: int = 1,
    data: Path | None = None,
    out: Path | None = None,
    message: Message = lambda text: None,
    progress: Progress = lambda stage, step, steps, figures: None,
) -> DemoResult:
    """Warm up a policy, train it through verl's launcher, and compare its rewards.

    Args:
        estimator: verl's `algorithm.adv_estimator`: rvpo, grpo (the weighted sum of the rewards) or gdpo.
        aggregation: RVPO's; softmin if None.
        steps, seed, ranks: training steps, seed of data and policy, FSDP2 ranks.
        data: parquet file in RLLA's schema, in place of the generated tasks.
        out: folder for data, logs and checkpoint; ./rvpo-demo if None.
        message, progress: called while the demo runs.

    Raises:
        UserError: arguments or data that cannot be used.
        LauncherError: the launcher failed; its message holds the end of the log.
    """
    _check(estimator, aggregation, steps, ranks)
    started = time.monotonic()
    out = prepare_folder(
        Path("rvpo-demo") if out is None else out, estimator=estimator, steps=steps, seed=seed
    )
    plan = demo_plan.generated(seed, steps) if data is None else demo_plan.from_rlla(data, seed)

    warmed_up = policy.warmed_up_policy(
        plan.warm_up_rows,
        plan.warm_up,
        progress=lambda step, of, loss: progress("Warming up a tiny Qwen2", step, of, {"loss": loss}),
    )
    message(f"Policy: {warmed_up}")
    plan = demo_plan.without_long_rows(plan, warmed_up, ranks, message)
    write_parquet(plan.train_rows, out / "train.parquet")
    write_parquet(plan.held_out_rows, out / "held_out.parquet")

    overrides = [
        *launch.cpu_overrides(ranks),
        *_task_overrides(plan, warmed_up, out, steps, seed),
        *_estimator_overrides(estimator, aggregation),
    ]
    log, metrics = out / "launcher.log", out / "metrics.jsonl"
    message(f"Starting verl's launcher, which takes about a minute. Its output: {log}")
    _train(overrides, log, metrics, steps, ranks, progress)

    checkpoint = out / "checkpoints" / f"global_step_{steps}" / "actor"
    sampled = [demo_scores.read_validation(out / "validation" / f"{step}.jsonl") for step in (0, steps)]
    greedy = [
        demo_scores.greedy_scores(folder, plan.held_out_rows, plan.warm_up.max_answer_tokens)
        for folder in (warmed_up, checkpoint / "huggingface")
    ]
    return DemoResult(
        changes=demo_scores.changes(sampled, greedy),
        steps=steps,
        prompts=len({score["input"] for score in sampled[0]}),
        answers=len(sampled[0]),
        seconds=time.monotonic() - started,
        checkpoint=checkpoint,
        metrics=metrics,
        log=log,
    )


def _check(estimator: str, aggregation: str | None, steps: int, ranks: int) -> None:
    if estimator not in ESTIMATORS:
        raise UserError(f"estimator={estimator!r}; accepted: {', '.join(ESTIMATORS)}")
    if aggregation is not None and estimator != "rvpo":
        raise UserError(
            f"aggregation={aggregation!r} is an option of estimator='rvpo', not of {estimator!r}; leave it out"
        )
    if aggregation is not None:
        aggregations.find(aggregation)
    for name, value in (("steps", steps), ("ranks", ranks)):
        if value < 1:
            raise UserError(f"{name}={value}; at least 1")


def prepare_folder(out: Path, **settings: Any) -> Path:
    """Make an empty folder. The folder of an earlier demo is emptied; any other one with files is refused."""
    out = out.resolve()
    marker = out / "demo.json"
    if marker.is_file():
        shutil.rmtree(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"out={out} exists and is not the folder of an earlier demo; name another one")
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(settings) + "\n")
    return out


def _task_overrides(plan: Plan, warmed_up: Path, out: Path, steps: int, seed: int) -> list[str]:
    precision = "{param_dtype:fp32,reduce_dtype:fp32,buffer_dtype:fp32}"
    return [
        "+rvpo=tool_calling",
        f"data.train_files={out / 'train.parquet'}",
        f"data.val_files={out / 'held_out.parquet'}",
        f"data.train_batch_size={plan.prompts}",
        f"data.max_prompt_length={plan.warm_up.max_prompt_tokens}",
        f"data.max_response_length={plan.warm_up.max_answer_tokens}",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={warmed_up}",
        "actor_rollout_ref.actor.optim.lr=5e-4",
        "actor_rollout_ref.actor.use_kl_loss=False",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={plan.mini_batch}",
        # Micro-batches by tokens, which fit any number of answers and ranks.
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        f"actor_rollout_ref.actor.ppo_max_token_len_per_gpu={plan.micro_batch_tokens}",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        f"actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu={plan.micro_batch_tokens}",
        # A model this small is trained in full precision; bfloat16 is slower on most CPUs.
        f"+actor_rollout_ref.actor.fsdp_config.mixed_precision={precision}",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        f"actor_rollout_ref.rollout.n={plan.rollouts}",
        "actor_rollout_ref.rollout.val_kwargs.do_sample=True",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
        f"actor_rollout_ref.rollout.val_kwargs.n={math.ceil(SAMPLES / len(plan.held_out_rows))}",
        "trainer.logger=[console,file]",
        "trainer.experiment_name=demo",
        f"trainer.total_epochs={steps}",
        f"trainer.total_training_steps={steps}",
        "trainer.val_before_train=True",
        f"trainer.test_freq={steps}",
        f"trainer.save_freq={steps}",
        "trainer.resume_mode=disable",
        f"trainer.default_local_dir={out / 'checkpoints'}",
        f"trainer.validation_data_dir={out / 'validation'}",
        f"trainer.rollout_data_dir={out / 'rollouts'}",
    ]


def _estimator_overrides(estimator: str, aggregation: str | None) -> list[str]:
    overrides = [f"algorithm.adv_estimator={estimator}"]
    if aggregation is not None:
        overrides.append(f"algorithm.rvpo.aggregation={aggregation}")
    if estimator == "gdpo":
        # verl's own gdpo does not run on its V1 trainer.
        overrides += ["trainer.use_v1=False", f"+algorithm.gdpo_reward_keys=[{','.join(REWARDS)}]"]
    return overrides


def _train(
    overrides: Sequence[str], log: Path, metrics: Path, steps: int, ranks: int, progress: Progress
) -> None:
    env = {"VERL_FILE_LOGGER_PATH": str(metrics), "OMP_NUM_THREADS": str(max(1, policy.cores() // ranks))}
    process = launch.launch(overrides, cwd=log.parent, log=log, env=env)
    try:
        for line in launch.follow(metrics, process):
            progress("Training", line["step"], steps, _step_figures(line["data"]))
    finally:
        launch.stop(process)
    if process.returncode != 0 or not (log.parent / "validation" / f"{steps}.jsonl").is_file():
        raise LauncherError.of(process, log, f"before step {steps} was validated")


def _step_figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """A step's mean rewards and k, under whichever names the estimator logs them."""
    figures = {}
    for name in REWARDS:
        for prefix in ("rvpo", "gdpo"):
            if f"{prefix}/{name}/mean" in metrics:
                figures[name] = metrics[f"{prefix}/{name}/mean"]
    if not figures and "critic/score/mean" in metrics:
        figures["sum of rewards"] = metrics["critic/score/mean"]
    if "rvpo/k" in metrics:
        figures["k"] = metrics["rvpo/k"]
    return figures
