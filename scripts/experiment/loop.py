"""Policy-gradient training of many runs at once.

On-policy: one update for each batch of answers, so that nothing is ever clipped and no reference policy is
needed. Every run has the same prompts, the same random numbers for its answers and the same noise of the
judges as the runs of other methods with its seed: differences between methods are paired.

Shapes: R runs, N answers of each run, T words, F fields of a prompt, M rewards, E evaluations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from experiment import policy, prompts, tasks, warm_up
from experiment.answers import Answers
from experiment.grid import Run
from experiment.methods import METHODS, Computed, compute
from experiment.words import MAX_WORDS

LEARNING_RATE = 2e-3
LONGEST_GRADIENT = 1.0
EVALUATIONS = 30
SAMPLES, FINAL_SAMPLES = 1, 8
"""Answers to each held-out prompt, along the way and at the end."""


@dataclass(frozen=True)
class Outcome:
    steps: list[int]
    rewards: list[list[float]]
    """(E, M) means on held-out prompts, without the judges' noise."""
    met: list[float]
    """(E,) share of held-out answers that meet all constraints."""
    met_conflict: list[float]
    """The same on prompts whose rule forbids what the user asks for."""
    constant: list[list[float]]
    """(E, M) share of training groups in which a reward did not vary, since the last evaluation."""
    k: list[float]
    """(E,) risk coefficient; 0 where there is none."""
    final_rewards: list[float]
    final_met: list[int]
    """Of each held-out prompt, how many of its FINAL_SAMPLES answers met all constraints."""


def train(runs: Sequence[Run], on_step: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Trains runs of one task, group size and length together.

    Raises:
        ValueError: runs that cannot share a batch.
    """
    if len({run.shape for run in runs}) != 1:
        raise ValueError(f"runs of different shapes in one batch: {sorted({str(run.shape) for run in runs})}")
    runs_by_method = {name: [i for i, run in enumerate(runs) if run.method == name] for name in METHODS}
    first = runs[0]
    task = tasks.task(first.task, first.rewards)
    draws = {run.seed: torch.Generator().manual_seed(1000 + run.seed) for run in runs}
    parameters = {
        name: tensor[[run.checkpoint for run in runs]].clone().requires_grad_()
        for name, tensor in warm_up.checkpoints().items()
    }
    optimizer = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    evaluator = _Evaluator(task, runs)
    every = max(1, first.steps // EVALUATIONS)

    for step in range(1, first.steps + 1):
        batch = {seed: _Draw.new(generator, first, task) for seed, generator in draws.items()}
        prompts_RNF = torch.stack([batch[run.seed].prompts_NF for run in runs])
        uniform_TRN = torch.stack([batch[run.seed].uniform_TN for run in runs], dim=1)
        sampled = policy.sample(parameters, prompts_RNF, uniform_TRN)
        length_RN = sampled.mask_RNT.sum(dim=2)
        true_RNM = _score(task, sampled.words_RNT, prompts_RNF)
        verdicts = [
            torch.stack(
                [
                    batch[run.seed].judged(true_NM, verdict)
                    for run, true_NM in zip(runs, true_RNM, strict=True)
                ]
            )
            for verdict in range(first.verdicts)
        ]
        rewards_RNM = torch.stack(verdicts).mean(dim=0)

        advantage_RN = torch.empty_like(length_RN)
        for name, members in runs_by_method.items():
            if members:
                computed = compute(
                    METHODS[name], rewards_RNM[members], length_RN[members], first.group_size, step, first.steps,
                    verdicts=(verdicts[0][members], verdicts[1][members]) if len(verdicts) == 2 else None,
                )  # fmt: skip
                advantage_RN[members] = computed.advantage_RN
                evaluator.note(members, computed)

        weighted_R = (advantage_RN[..., None] * sampled.log_prob_RNT).sum(dim=(1, 2))
        loss = -(weighted_R / length_RN.sum(dim=1)).sum()
        optimizer.zero_grad()
        loss.backward()
        policy.clip_norm(parameters, LONGEST_GRADIENT)
        optimizer.step()
        if step % every == 0 or step == 1:
            evaluator.evaluate(parameters, step)
        on_step()
    return evaluator.finish(parameters)


@dataclass(frozen=True)
class _Draw:
    """The random numbers of one step of one seed."""

    prompts_NF: Tensor
    uniform_TN: Tensor
    noise_DNM: Tensor
    """Added to the rewards of each verdict D."""
    flipped_DNM: Tensor

    @classmethod
    def new(cls, generator: torch.Generator, run: Run, task: tasks.Task) -> "_Draw":
        N, M = run.answers, len(task.rewards)
        judged_M = torch.tensor(task.judged)
        chosen_NF = prompts.sample(N // run.group_size, generator).repeat_interleave(run.group_size, dim=0)
        uniform_TN = torch.rand(MAX_WORDS, N, generator=generator)
        noise = torch.randn(run.verdicts, N, M, generator=generator) * tasks.JUDGE_STD * judged_M
        flipped = (torch.rand(run.verdicts, N, M, generator=generator) < run.flipped) & judged_M
        return cls(chosen_NF, uniform_TN, noise, flipped)

    def judged(self, true_NM: Tensor, verdict: int) -> Tensor:
        return torch.where(self.flipped_DNM[verdict], 1 - true_NM, true_NM) + self.noise_DNM[verdict]


def _score(task: tasks.Task, words_RNT: Tensor, prompts_RNF: Tensor) -> Tensor:
    rewards = task.score(Answers(words_RNT.flatten(0, 1), prompts_RNF.flatten(0, 1)))
    return rewards.view(*words_RNT.shape[:2], -1)


class _Evaluator:
    """Collects the outcomes, on held-out prompts, with a separate random generator."""

    def __init__(self, task: tasks.Task, runs: Sequence[Run]) -> None:
        self.task, self.runs = task, runs
        self.prompts_PF = prompts.evaluation()
        self.outcomes = [Outcome([], [], [], [], [], [], [], []) for _ in runs]
        self.generator = torch.Generator().manual_seed(7)
        self.constant_RM = torch.zeros(len(runs), len(task.rewards))
        self.last_step = 0
        self.k_R = [0.0] * len(runs)

    def note(self, members: Sequence[int], computed: Computed) -> None:
        self.constant_RM[members] += computed.constant_RM
        for run, k in zip(members, computed.k_R, strict=True):
            self.k_R[run] = k

    def evaluate(self, parameters: policy.Parameters, step: int) -> None:
        rewards_RSPM, met_RSP = self._sample(parameters, SAMPLES)
        conflict_P = prompts.in_conflict(self.prompts_PF)
        for r, outcome in enumerate(self.outcomes):
            outcome.steps.append(step)
            outcome.rewards.append(rewards_RSPM[r].mean(dim=(0, 1)).tolist())
            outcome.met.append(met_RSP[r].mean().item())
            outcome.met_conflict.append(met_RSP[r][:, conflict_P].mean().item())
            outcome.constant.append((self.constant_RM[r] / (step - self.last_step)).tolist())
            outcome.k.append(self.k_R[r])
        self.constant_RM.zero_()
        self.last_step = step

    def finish(self, parameters: policy.Parameters) -> list[Outcome]:
        rewards_RSPM, met_RSP = self._sample(parameters, FINAL_SAMPLES)
        for r, outcome in enumerate(self.outcomes):
            outcome.final_rewards.extend(rewards_RSPM[r].mean(dim=(0, 1)).tolist())
            outcome.final_met.extend(met_RSP[r].sum(dim=0).int().tolist())
        return self.outcomes

    def _sample(self, parameters: policy.Parameters, samples: int) -> tuple[Tensor, Tensor]:
        R, P = len(self.runs), len(self.prompts_PF)
        prompts_RNF = self.prompts_PF.repeat(samples, 1).expand(R, -1, -1)
        # The same numbers for every run, so that their order in a batch does not matter.
        uniform_TN = torch.rand(MAX_WORDS, 1, samples * P, generator=self.generator)
        with torch.no_grad():
            sampled = policy.sample(parameters, prompts_RNF, uniform_TN.expand(-1, R, -1))
        rewards_RNM = _score(self.task, sampled.words_RNT, prompts_RNF)
        ideal_NM = self.task.ideal_rewards(prompts_RNF[0])
        met_RN = torch.stack([tasks.meets_all(rewards_NM, ideal_NM) for rewards_NM in rewards_RNM]).float()
        return rewards_RNM.view(R, samples, P, -1), met_RN.view(R, samples, P)
