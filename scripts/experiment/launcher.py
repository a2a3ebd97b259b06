"""A run of the experiment as a launch of verl: its rows, its overrides, and what its validations say.

Shapes: S answers to each of P held-out prompts, F fields of a prompt, M rewards.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from experiment import prompts, qwen, scoring, tasks
from experiment.grid import Run
from experiment.loop import FINAL_SAMPLES, LONGEST_GRADIENT, Outcome
from experiment.methods import METHODS, Method
from experiment.words import MAX_WORDS
from rvpo_verl.core import Schedule, aggregations
from rvpo_verl.cpu import launch
from rvpo_verl.data.rows import Row
from rvpo_verl.files import write_parquet

LEARNING_RATE = 1e-3
VALIDATIONS = 5
"""Along the way; one more is before the first step."""
SCRIPTS = Path(__file__).resolve().parent.parent


def train(
    run: Run, policy: Path, folder: Path, on_step: Callable[[int], None] = lambda step: None
) -> Outcome:
    """Trains `policy` through verl's launcher, with all of its files in `folder`, which is emptied first.

    Raises:
        ValueError: a method that verl's configuration cannot express, or a setting that the launch does not have.
        LauncherError: the launcher failed; its message holds the end of the log.
    """
    settings = overrides(run, policy, folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # A row for each held-out answer: of several answers to one row verl bootstraps much that nobody reads.
    held_out_NF = prompts.evaluation().repeat(FINAL_SAMPLES, 1)
    for split, asked_NF in ((scoring.TRAIN, training_prompts(run)), (scoring.HELD_OUT, held_out_NF)):
        write_parquet(rows(asked_NF, run.task, split), folder / f"{split}.parquet")
    metrics, log = folder / "metrics.jsonl", folder / "launcher.log"
    env = {"VERL_FILE_LOGGER_PATH": str(metrics), "PYTHONPATH": str(SCRIPTS)}
    process = launch.launch(settings, cwd=folder, log=log, env=env)
    try:
        for line in launch.follow(metrics, process):
            on_step(line["step"])
    finally:
        launch.stop(process)
    if process.returncode != 0 or not _validation(folder, run.steps).is_file():
        raise launch.LauncherError.of(process, log, f"before step {run.steps} was validated")
    return outcome(run, folder)


def training_prompts(run: Run) -> Tensor:
    """(N, F) in the order in which they are trained on: the same for every method with the run's seed."""
    generator = torch.Generator().manual_seed(1000 + run.seed)
    return prompts.sample(run.steps * run.answers // run.group_size, generator)


def rows(prompts_NF: Tensor, task: str, split: str) -> list[Row]:
    return [
        {
            "data_source": task,
            "prompt": qwen.message(prompt),
            "ability": "tools",
            "reward_model": {"style": "rule", "ground_truth": json.dumps(prompt)},
            "extra_info": {"split": split, "index": index},
        }
        for index, prompt in enumerate(prompts_NF.tolist())
    ]


def overrides(run: Run, policy: Path, folder: Path) -> list[str]:
    """Of `verl.trainer.main_ppo`; those of the method are the only ones that methods differ in."""
    if run.rewards != 6 or run.flipped or run.verdicts != 1:
        raise ValueError(f"{run}: the launcher trains with 6 rewards and judges asked once, none flipped")
    per_step = run.answers // run.group_size
    precision = "{param_dtype:fp32,reduce_dtype:fp32,buffer_dtype:fp32}"
    names = tasks.task(run.task).rewards
    return [
        *launch.cpu_overrides(),
        "+rvpo=default",
        *method_overrides(METHODS[run.method], names),
        "reward.reward_manager.name=rvpo",
        "+reward.rvpo.rewards.answer.function=experiment.scoring:score",
        f"+reward.rvpo.rewards.answer.outputs={{{','.join(f'{name}:1.0' for name in names)}}}",
        f"+reward.rvpo.rewards.answer.kwargs={{task:{run.task},seed:{run.seed}}}",
        f"data.train_files={folder / scoring.TRAIN}.parquet",
        f"data.val_files={folder / scoring.HELD_OUT}.parquet",
        f"data.train_batch_size={per_step}",
        f"data.max_prompt_length={qwen.MAX_PROMPT}",
        f"data.max_response_length={MAX_WORDS}",
        "data.shuffle=False",
        f"actor_rollout_ref.model.path={policy}",
        f"actor_rollout_ref.actor.optim.lr={LEARNING_RATE}",
        "actor_rollout_ref.actor.optim.weight_decay=0",
        f"actor_rollout_ref.actor.optim.clip_grad={LONGEST_GRADIENT}",
        "actor_rollout_ref.actor.use_kl_loss=False",
        # One on-policy update of all answers of a step.
        f"actor_rollout_ref.actor.ppo_mini_batch_size={per_step}",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=16384",
        f"+actor_rollout_ref.actor.fsdp_config.mixed_precision={precision}",
        f"actor_rollout_ref.rollout.n={run.group_size}",
        f"actor_rollout_ref.rollout.seed={run.seed}",
        "actor_rollout_ref.rollout.val_kwargs.do_sample=True",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
        "trainer.use_v1=False",  # verl's own gdpo does not run on V1
        "trainer.logger=[file]",
        f"trainer.experiment_name={run.key}",
        "trainer.total_epochs=1",
        f"trainer.total_training_steps={run.steps}",
        "trainer.val_before_train=True",
        f"trainer.test_freq={max(1, run.steps // VALIDATIONS)}",
        "trainer.save_freq=-1",
        "trainer.resume_mode=disable",
        f"trainer.validation_data_dir={folder / 'validation'}",
    ]


def method_overrides(method: Method, rewards: tuple[str, ...]) -> list[str]:
    """The estimator: verl's own `grpo` and `gdpo`, `rvpo` for all others.

    Raises:
        ValueError: a method that `algorithm.rvpo` has no option for.
    """
    if method.sum_rewards:
        return ["algorithm.adv_estimator=grpo"]
    if method.name == "gdpo":
        return ["algorithm.adv_estimator=gdpo", f"+algorithm.gdpo_reward_keys=[{','.join(rewards)}]"]
    if method.target is not None or method.shrink:
        raise ValueError(
            f"method={method.name!r} sets k or Z by code of this experiment; algorithm.rvpo has no option for it"
        )
    settings, k = method.settings, method.settings.k
    target = f"{settings.aggregation.__module__}:{settings.aggregation.__name__}"
    registered = {target: name for name, target in aggregations.available().items()}
    written = f"{k}"
    if isinstance(k, Schedule):
        written = f"{{schedule:{k.shape},from:{k.start},to:{k.end},over:{k.over or 'run'}}}"
    return [
        "algorithm.adv_estimator=rvpo",
        f"algorithm.rvpo.aggregation='{registered.get(target, target)}'",
        f"algorithm.rvpo.k={written}",
        f"algorithm.rvpo.beta={settings.beta}",
        f"algorithm.rvpo.constant_rewards={settings.constant_rewards}",
        f"algorithm.rvpo.bonus={settings.bonus}",
        f"algorithm.rvpo.center_groups={str(settings.center_groups).lower()}",
    ]


def outcome(run: Run, folder: Path) -> Outcome:
    """What the launcher's validations say. It does not record k and constant groups by step."""
    steps = sorted(int(path.stem) for path in (folder / "validation").glob("*.jsonl"))
    conflict_P = prompts.in_conflict(prompts.evaluation())
    found = Outcome(steps, [], [], [], [], [], [], [])
    for step in steps:
        rewards_PSM, met_PS = _read(_validation(folder, step), run.task)
        found.rewards.append(rewards_PSM.mean(dim=(0, 1)).tolist())
        found.met.append(met_PS.mean().item())
        found.met_conflict.append(met_PS[conflict_P].mean().item())
    found.final_rewards.extend(found.rewards[-1])
    found.final_met.extend(met_PS.sum(dim=1).int().tolist())
    return found


def _validation(folder: Path, step: int) -> Path:
    return folder / "validation" / f"{step}.jsonl"


def _read(path: Path, task: str) -> tuple[Tensor, Tensor]:
    """Rewards (P, S, M) of the answers to each held-out prompt, and (P, S) whether they meet all constraints."""
    chosen, asked_PF = tasks.task(task), prompts.evaluation()
    answers: dict[tuple[int, ...], list[list[float]]] = {tuple(prompt): [] for prompt in asked_PF.tolist()}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        answers[tuple(json.loads(record["gts"]))].append([record[name] for name in chosen.rewards])
    rewards_PSM = torch.tensor(list(answers.values()))
    ideal_PSM = chosen.ideal_rewards(asked_PF)[:, None].expand_as(rewards_PSM)
    met_N = tasks.meets_all(rewards_PSM.flatten(0, 1), ideal_PSM.flatten(0, 1))
    return rewards_PSM, met_N.view(rewards_PSM.shape[:2]).float()
