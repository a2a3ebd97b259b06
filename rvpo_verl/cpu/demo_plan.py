"""What the demo trains on: generated tasks or a file in RLLA's schema, and how much of it in a step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import AutoTokenizer

from rvpo_verl.cpu import policy, tasks
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.data import rlla
from rvpo_verl.data.rows import Row
from rvpo_verl.errors import UserError

SAMPLES = 128
"""Held-out answers, at least, in each validation."""

Message = Callable[[str], None]
"""Called with a line about what the demo does."""


@dataclass(frozen=True)
class Plan:
    """The rows, and how many of them a step trains on."""

    warm_up_rows: Sequence[Row]
    train_rows: Sequence[Row]
    held_out_rows: Sequence[Row]
    warm_up: WarmUp
    prompts: int
    """Prompts in a training step."""
    rollouts: int
    """Answers to each of them."""
    micro_batch_tokens: int = 16384
    """Tokens that go through the model at a time in training."""

    @property
    def mini_batch(self) -> int:
        """Prompts in an update: there are two in a step."""
        return max(1, self.prompts // 2)


def generated(seed: int, steps: int) -> Plan:
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


def from_rlla(data: Path, seed: int) -> Plan:
    train_rows, held_out_rows = tasks.split_rows(rlla.read_rlla(data), seed, at_most=SAMPLES)
    # Prompts are ten times as long as generated ones, and the rows are few: a larger vocabulary, a budget of
    # time, and small batches. This policy learns the format and memorizes; it does not learn to call tools.
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
    return Plan(train_rows, train_rows, held_out_rows, warm_up, prompts=8, rollouts=4)


def without_long_rows(plan: Plan, folder: Path, ranks: int, message: Message) -> Plan:
    """The plan without the rows that are too long, its steps shrunk if few are left."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sides = {}
    for name in ("train_rows", "held_out_rows"):
        rows = getattr(plan, name)
        sides[name] = policy.fitting(tokenizer, rows, plan.warm_up)
        if len(sides[name]) < len(rows):
            message(
                f"Left out: {len(rows) - len(sides[name])} of {len(rows)} {name.replace('_', ' ')}, longer than "
                f"{plan.warm_up.max_prompt_tokens} tokens in the prompt or {plan.warm_up.max_answer_tokens} "
                "in the answer."
            )
        if not sides[name]:
            raise UserError(
                f"all {len(rows)} {name.replace('_', ' ')} are too long for the tiny policy: at most "
                f"{plan.warm_up.max_prompt_tokens} tokens in the prompt and {plan.warm_up.max_answer_tokens} in the "
                "answer; add shorter rows to the data"
            )
    prompts = min(plan.prompts, len(sides["train_rows"]))
    plan = replace(
        plan,
        train_rows=sides["train_rows"],
        held_out_rows=sides["held_out_rows"],
        prompts=max(1, prompts // 2 * 2),
    )
    answers = plan.mini_batch * plan.rollouts
    if answers % ranks:
        raise UserError(f"ranks={ranks} must divide the {answers} answers of an update")
    return plan
