"""`rvpo-verl demo`: verl's launcher trains a tiny tool-calling policy on this machine's CPU.

Rewards are compared on held-out prompts before and after, by verl's own validation (sampled) and greedily.
"""

import json
import math
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from rvpo_verl.cpu import launch, policy, tasks
from rvpo_verl.cpu.launch import LauncherError
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.cpu.tasks import Row
from rvpo_verl.data import rlla
from rvpo_verl.files import write_parquet
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

REWARDS = {"tool_call_format": tool_call_format, "tool_call_correctness": tool_call_correctness}
PERFECT = {"tool_call_format": 1.0, "tool_call_correctness": 3.0}
BOTH = "both perfect"
ESTIMATORS = ("rvpo", "grpo", "gdpo")
SAMPLES = 128
"""Held-out answers, at least, in each validation."""

Scores = list[dict[str, float | None]]
"""Of each answer, its prompt (under "input") and its score under each reward, None where it is missing."""


@dataclass(frozen=True)
class Plan:
    """What is trained on, and how much of it in a step."""

    warm_up_rows: Sequence[Row]
    train_rows: Sequence[Row]
    held_out_rows: Sequence[Row]
    warm_up: WarmUp
    prompts: int
    """Prompts in a training step."""
    rollouts: int
    """Answers to each of them."""
    micro_batch_tokens: int = 16384
    """Tokens that go through the model at a time when it is trained."""

    @property
    def mini_batch(self) -> int:
        """Prompts in an update: there are two in a step."""
        return max(1, self.prompts // 2)


def run_demo(
    *,
    estimator: str = "rvpo",
    aggregation: str | None = None,
    steps: int = 20,
    seed: int = 0,
    ranks: int = 1,
    data: Path | None = None,
    out: Path | None = None,
    json_path: Path | None = None,
) -> None:
    """Warms up a policy, trains it through verl's launcher, and reports what moved.

    Args:
        estimator: verl's `algorithm.adv_estimator`: rvpo, grpo (the weighted sum of the rewards) or gdpo.
        aggregation: RVPO's; softmin if None.
        steps, seed, ranks: training steps, seed of data and policy, FSDP2 ranks.
        data: parquet file in RLLA's schema, in place of the generated tasks.
        out: folder for data, logs, plot and checkpoint; ./rvpo-demo if None.
        json_path: file for the figures of the sampled validation.

    Raises:
        ValueError: arguments or data that cannot be used.
        LauncherError: the launcher failed; its message holds the end of the log.
    """
    _check(estimator, aggregation, steps, ranks)
    started = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    transformers.logging.disable_progress_bar()  # one bar at a time
    out = _prepare(Path("rvpo-demo") if out is None else out, estimator=estimator, steps=steps, seed=seed)
    plan = _generated(seed, steps) if data is None else _from_rlla(data, seed)

    warmed_up = _warm_up(plan, console)
    plan = _without_long_rows(plan, warmed_up, ranks, console)
    write_parquet(plan.train_rows, out / "train.parquet")
    write_parquet(plan.held_out_rows, out / "held_out.parquet")

    overrides = [
        *launch.cpu_overrides(ranks),
        *_task_overrides(plan, warmed_up, out, steps, seed),
        *_estimator_overrides(estimator, aggregation),
    ]
    _train(overrides, out, steps, ranks, console)

    checkpoint = out / "checkpoints" / f"global_step_{steps}" / "actor"
    validations = [_read_validation(out / "validation" / f"{step}.jsonl") for step in (0, steps)]
    greedy = [_greedy_scores(folder, plan) for folder in (warmed_up, checkpoint / "huggingface")]
    _report(validations, greedy, plan, steps, console)
    _plot(out, console)
    console.print(f"Checkpoint: {checkpoint}\nLogs:       {out / 'metrics.jsonl'}, {out / 'launcher.log'}")
    if json_path is not None:
        before, after = validations
        figures = {
            "rewards": {
                name: {"before": _mean(before, name), "after": _mean(after, name)} for name in REWARDS
            },
            "steps": steps,
            "seconds": round(time.monotonic() - started, 1),
        }
        json_path.write_text(json.dumps(figures, indent=2) + "\n")


def _check(estimator: str, aggregation: str | None, steps: int, ranks: int) -> None:
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator={estimator!r}; accepted: {', '.join(ESTIMATORS)}")
    if aggregation is not None and estimator != "rvpo":
        raise ValueError(
            f"aggregation={aggregation!r} is an option of estimator='rvpo', not of {estimator!r}"
        )
    for name, value in (("steps", steps), ("ranks", ranks)):
        if value < 1:
            raise ValueError(f"{name}={value}; at least 1")


def _prepare(out: Path, **settings: Any) -> Path:
    """An empty folder: that of an earlier demo is emptied, any other is left alone."""
    out = out.resolve()
    marker = out / "demo.json"
    if marker.is_file():
        shutil.rmtree(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out={out} is there and no folder of an earlier demo; name another one")
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(settings) + "\n")
    return out


# --- data and policy --------------------------------------------------------------------------------------


def _generated(seed: int, steps: int) -> Plan:
    warm_up = WarmUp(seed=seed, max_prompt_tokens=160, max_answer_tokens=80)
    demonstrations = (warm_up.clean_steps + warm_up.flawed_steps) * warm_up.batch_size
    prompts = 16
    rows = tasks.generate(demonstrations + prompts * steps, seed, "train")
    return Plan(
        warm_up_rows=rows[:demonstrations],
        train_rows=rows[demonstrations:],
        held_out_rows=tasks.generate(SAMPLES, seed, "held_out"),
        warm_up=warm_up,
        prompts=prompts,
        rollouts=8,
    )


def _from_rlla(data: Path, seed: int) -> Plan:
    train_rows, held_out_rows = tasks.split_rows(rlla.read_rlla(data), seed, at_most=SAMPLES)
    # Prompts are ten times as long as generated ones, and the rows are few: a larger vocabulary, a budget of
    # time, and small batches. This policy learns the format and memorises; it does not learn to call tools.
    warm_up = WarmUp(
        seed=seed,
        merges=2000,
        prompt_weight=0.0,
        clean_steps=450,
        flawed_steps=150,
        batch_size=8,
        max_prompt_tokens=1280,
        max_answer_tokens=192,
        prompt_tail=64,
        seconds=150,
    )
    return Plan(
        warm_up_rows=train_rows,
        train_rows=train_rows,
        held_out_rows=held_out_rows,
        warm_up=warm_up,
        prompts=8,
        rollouts=4,
    )


def _warm_up(plan: Plan, console: Console) -> Path:
    with _progress(console, "Warming up a tiny Qwen2", "loss") as show:
        folder = policy.warmed_up_policy(plan.warm_up_rows, plan.warm_up, progress=show)
    console.print(f"Policy: {folder}")
    return folder


def _without_long_rows(plan: Plan, folder: Path, ranks: int, console: Console) -> Plan:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sides = {}
    for name in ("train_rows", "held_out_rows"):
        rows = getattr(plan, name)
        sides[name] = policy.fitting(tokenizer, rows, plan.warm_up)
        if len(sides[name]) < len(rows):
            console.print(
                f"Left out: {len(rows) - len(sides[name])} of {len(rows)} {name.replace('_', ' ')}, longer than "
                f"{plan.warm_up.max_prompt_tokens} tokens in the prompt or {plan.warm_up.max_answer_tokens} "
                "in the answer."
            )
        if not sides[name]:
            raise ValueError(f"no {name.replace('_', ' ')} are left: all are too long for the tiny policy")
    prompts = min(plan.prompts, len(sides["train_rows"]))
    plan = replace(plan, **sides, prompts=max(1, prompts // 2 * 2))
    if plan.mini_batch * plan.rollouts % ranks:
        raise ValueError(
            f"ranks={ranks} must divide the {plan.mini_batch * plan.rollouts} answers of an update"
        )
    return plan


# --- training ---------------------------------------------------------------------------------------------


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
    ]


def _estimator_overrides(estimator: str, aggregation: str | None) -> list[str]:
    overrides = [f"algorithm.adv_estimator={estimator}"]
    if aggregation is not None:
        overrides.append(f"algorithm.rvpo.aggregation={aggregation}")
    if estimator == "gdpo":
        # verl's own gdpo does not run on its V1 trainer.
        overrides += ["trainer.use_v1=False", f"+algorithm.gdpo_reward_keys=[{','.join(REWARDS)}]"]
    return overrides


def _train(overrides: Sequence[str], out: Path, steps: int, ranks: int, console: Console) -> None:
    log, metrics = out / "launcher.log", out / "metrics.jsonl"
    env = {"VERL_FILE_LOGGER_PATH": str(metrics), "OMP_NUM_THREADS": str(max(1, policy.cores() // ranks))}
    console.print(f"Starting verl's launcher, which takes about a minute. Its output: {log}")
    process = launch.launch(overrides, cwd=out, log=log, env=env)
    try:
        with _progress(console, "Training") as show:
            for line in launch.follow(metrics, process):
                show(line["step"], steps, _summary(line["data"]))
    finally:
        launch.stop(process)
    if process.returncode != 0 or not (out / "validation" / f"{steps}.jsonl").is_file():
        raise LauncherError.of(process, log, f"before step {steps} was validated")


def _summary(metrics: Mapping[str, float]) -> str:
    """A step's rewards and k, under whichever names the estimator logs them."""
    shown = {}
    for name in REWARDS:
        for prefix in ("rvpo", "gdpo"):
            if f"{prefix}/{name}/mean" in metrics:
                shown[name] = metrics[f"{prefix}/{name}/mean"]
    if not shown and "critic/score/mean" in metrics:
        shown["sum of rewards"] = metrics["critic/score/mean"]
    if "rvpo/k" in metrics:
        shown["k"] = metrics["rvpo/k"]
    return "  ".join(f"{name} {value:.2f}" for name, value in shown.items())


@contextmanager
def _progress(console: Console, what: str, value: str = "") -> Iterator[Callable[[int, int, Any], None]]:
    """Shows step, steps and a remark: a live bar on a terminal, else a line for each twentieth of the way."""
    if console.is_terminal:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[remark]}"), console=console) as bar:
            task = bar.add_task(what, total=None, remark="")
            yield lambda step, steps, remark: bar.update(
                task, completed=step, total=steps, remark=_remark(value, remark)
            )
        return

    started, first, shown = 0.0, 0, -1

    def show(step: int, steps: int, remark: Any) -> None:
        nonlocal started, first, shown
        if shown < 0:
            started, first = time.monotonic(), step  # the start-up is no part of the estimate
        twentieth = 20 * step // steps
        if twentieth == shown:
            return
        shown = twentieth
        left = (time.monotonic() - started) / max(1, step - first) * (steps - step)
        eta = f"{left:.0f} s left  " if left else ""
        console.print(f"{what} {step}/{steps}  {eta}{_remark(value, remark)}")

    yield show


def _remark(name: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{name} {value:.2f}"


# --- what moved -------------------------------------------------------------------------------------------


def _read_validation(path: Path) -> Scores:
    with path.open() as file:
        return [_scored(json.loads(line)) for line in file]


def _greedy_scores(folder: Path, plan: Plan) -> Scores:
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    scores = []
    for start in range(0, len(plan.held_out_rows), SAMPLES):
        rows = plan.held_out_rows[start : start + SAMPLES]
        batch = tokenizer.pad(
            {"input_ids": [policy.prompt_ids(tokenizer, row) for row in rows]}, return_tensors="pt"
        )
        with torch.no_grad():
            output = model.generate(**batch, do_sample=False, max_new_tokens=plan.warm_up.max_answer_tokens)
        answers = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for row, answer in zip(rows, answers, strict=True):
            truth = tasks.ground_truth(row)
            given = {name: reward(answer, truth) for name, reward in REWARDS.items()}
            scores.append(_scored({"input": tasks.prompt_key(row), **given}))
    return scores


def _scored(record: Mapping[str, Any]) -> dict[str, Any]:
    scores = {}
    for name in REWARDS:
        score = record.get(name)
        scores[name] = float(score) if score is not None and math.isfinite(score) else None
    perfect = [scores[name] == best for name, best in PERFECT.items() if scores[name] is not None]
    return {"input": record["input"], **scores, BOTH: float(all(perfect)) if perfect else None}


def _mean(scores: Scores, name: str) -> float:
    present = [score[name] for score in scores if score[name] is not None]
    return statistics.fmean(present) if present else math.nan


def _moved(before: Scores, after: Scores, name: str) -> tuple[float, float]:
    """By how much a reward moved, and the standard error over prompts: each is compared with itself."""
    prompts: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for side, scores in enumerate((before, after)):
        for score in scores:
            if score[name] is not None:
                prompts[score["input"]][side].append(score[name])
    differences = [
        statistics.fmean(new) - statistics.fmean(old) for old, new in prompts.values() if old and new
    ]
    if len(differences) < 2:
        return (differences or [math.nan])[0], math.nan
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def _report(
    validations: Sequence[Scores], greedy: Sequence[Scores], plan: Plan, steps: int, console: Console
) -> None:
    prompts = len({score["input"] for score in validations[0]})
    table = Table(
        box=SIMPLE_HEAD,
        title=f"{steps} steps, {prompts} held-out prompts, {len(validations[0])} sampled answers",
    )
    table.add_column("reward", no_wrap=True)
    for column in ("sampled\nbefore", "\nafter", "moved\n± s.e.", "greedy\nbefore", "\nafter"):
        table.add_column(column, justify="right", no_wrap=True)
    verdicts = []
    for name in (*REWARDS, BOTH):
        moved, error = _moved(*validations, name)
        table.add_row(
            name,
            *(f"{_mean(scores, name):.2f}" for scores in validations),
            f"{moved:+.2f} ± {error:.2f}",
            *(f"{_mean(scores, name):.2f}" for scores in greedy),
        )
        if name in REWARDS:
            verdicts.append(_verdict(name, moved, error))
    console.print(table)
    console.print(" ".join(verdicts))


def _verdict(name: str, moved: float, error: float) -> str:
    if not abs(moved) > 2 * error:
        return f"{name} did not move measurably ({moved:+.2f} ± {error:.2f})."
    return f"{name} {'rose' if moved > 0 else 'fell'} by {abs(moved):.2f} ± {error:.2f}."


def _plot(out: Path, console: Console) -> None:
    from rvpo_verl.report.plot import plot

    picture = out / "rewards.png"
    plot([out / "metrics.jsonl"], picture)
    console.print(f"Plot:       {picture}")
