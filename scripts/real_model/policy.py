"""A pretrained model on a CPU: its answers to a batch of prompts, and updates of its last layers.

Shapes: G prompts, each with answers of its own, N answers in all (those to one prompt side by side), T tokens of the
longest answer, L tokens of a prompt and its answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from rvpo_verl.cpu import attention
from rvpo_verl.cpu.sampling import inverse_cdf, sample

LONGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Sampled:
    prompts: list[Tensor]
    """Tokens of each of the G prompts."""
    answer_NT: Tensor
    """Padded on the right."""
    mask_NT: Tensor
    """Whether the token is of the answer; the token that ends it is."""

    @property
    def length_N(self) -> Tensor:
        return self.mask_NT.sum(dim=1)

    def groups(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Each prompt with the tokens of its answers."""
        answers = [answer[mask] for answer, mask in zip(self.answer_NT, self.mask_NT, strict=True)]
        each = len(answers) // len(self.prompts)
        for number, prompt in enumerate(self.prompts):
            yield prompt, answers[number * each : (number + 1) * each]


class Policy:
    def __init__(
        self,
        folder: Path,
        learning_rate: float,
        trained_layers: int | None = 10,
        dtype: torch.dtype = torch.bfloat16,
        untrained: "Policy | None" = None,
    ):
        """
        Args:
            folder: of a model that `transformers` reads, with a chat template.
            trained_layers: how many of the last layers are trained; the others stay as they are. None: everything.
            untrained: the policy before training, which the reward fluency needs.
        """
        self.untrained = untrained
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention.NAME
        ).requires_grad_(False)
        self.eos, self.pad = self.model.generation_config.eos_token_id, self.tokenizer.pad_token_id
        if trained_layers is None:
            self.parameters = list(self.model.parameters())
        else:
            layers = self.model.model.layers[-trained_layers:]
            self.parameters = [*layers.parameters(), *self.model.model.norm.parameters()]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        # bfloat16 has too few digits for small steps: they are added up in float32.
        self.masters = [torch.nn.Parameter(parameter.detach().float()) for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.masters, lr=learning_rate, weight_decay=0.0)

    def prompts(self, texts: Sequence[str]) -> list[Tensor]:
        """Tokens of each, as a user's message."""
        chats = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in texts
        ]
        ids = self.tokenizer(chats, add_special_tokens=False).input_ids
        return [torch.tensor(each) for each in ids]

    def sample(self, texts: Sequence[str], each: int, tokens: int, seed: int | None) -> Sampled:
        """`each` answers to each text, at temperature 1; with `seed` None the most probable token every time.

        One uniform number a token decides, drawn before the answers are: two policies that are alike answer alike.
        """
        prompts = self.prompts(texts)
        generator = torch.Generator().manual_seed(seed or 0)
        draw_NT = torch.rand(len(prompts) * each, tokens, generator=generator)

        def choose(log_prob_RV: Tensor, ids_RL: Tensor, row_R: Tensor, t: int) -> Tensor:
            return log_prob_RV.argmax(dim=-1) if seed is None else inverse_cdf(log_prob_RV, draw_NT[row_R, t])

        answers = sample(
            self.model, [prompt.tolist() for prompt in prompts for _ in range(each)], tokens, choose,
            eos=self.eos, pad=self.pad,
        )  # fmt: skip
        return self._sampled(prompts, answers.ids_BT)

    def sampled(self, texts: Sequence[str], answer_NT: Tensor) -> Sampled:
        """Answers that were sampled before, by their tokens."""
        return self._sampled(self.prompts(texts), answer_NT)

    def texts(self, sampled: Sampled) -> list[str]:
        kept_NT = torch.where(sampled.mask_NT, sampled.answer_NT, self.pad)
        return self.tokenizer.batch_decode(
            kept_NT, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def log_prob(self, prompt: Tensor, answers: Sequence[Tensor]) -> Tensor:
        """Of every token of the answers to one prompt, one answer after the other.

        They are one sequence: the prompt once, and each answer sees the prompt and itself.
        """
        lengths = torch.tensor([len(prompt), *map(len, answers)])
        part_L = torch.arange(len(lengths)).repeat_interleave(lengths)
        position_L = torch.cat([torch.arange(length) for length in lengths])
        position_L[len(prompt) :] += len(prompt)
        sees_LL = (part_L[None] == 0) | (part_L[:, None] == part_L[None])
        sees_LL &= torch.ones_like(sees_LL).tril()
        added_LL = torch.zeros(sees_LL.shape, dtype=self.model.dtype).masked_fill(~sees_LL, -torch.inf)
        out = self.model.model(
            input_ids=torch.cat([prompt, *answers])[None],
            attention_mask=added_LL[None, None],
            position_ids=position_L[None],
        )
        # A token is predicted where the one before it stands: the prompt's last for the first of an answer.
        before = torch.arange(len(part_L)) - 1
        is_answer = part_L > 0
        before[is_answer & (position_L == len(prompt))] = len(prompt) - 1
        logits = self.model.lm_head(out.last_hidden_state[0, before[is_answer]]).float()
        log_prob: Tensor = logits.log_softmax(dim=-1).gather(-1, torch.cat([*answers])[:, None])[:, 0]
        return log_prob

    def update(self, sampled: Sampled, advantage_N: Tensor) -> float:
        """One step on the mean over the batch's tokens, as verl's `token-mean`.

        Returns:
            Norm of the gradient before it is clipped.
        """
        for (prompt, answers), advantage in zip(
            sampled.groups(), advantage_N.float().chunk(len(sampled.prompts)), strict=True
        ):
            weight = advantage.repeat_interleave(torch.tensor([len(answer) for answer in answers]))
            (-(weight * self.log_prob(prompt, answers)).sum() / sampled.mask_NT.sum()).backward()
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.masters, LONGEST_GRADIENT)
        self.optimizer.step()
        self._copy()
        return float(norm)

    def state(self) -> dict[str, Any]:
        return {"masters": [each.detach() for each in self.masters], "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for master, value in zip(self.masters, state["masters"], strict=True):
                master.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self._copy()

    def _sampled(self, prompts: list[Tensor], answer_NT: Tensor) -> Sampled:
        is_end_NT = (answer_NT == self.eos).long()
        mask_NT = (is_end_NT.cumsum(dim=1) - is_end_NT == 0) & (answer_NT != self.pad)
        return Sampled(prompts, answer_NT, mask_NT)

    @torch.no_grad()
    def _copy(self) -> None:
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            parameter.copy_(master)
