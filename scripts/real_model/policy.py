"""A pretrained model on a CPU: its answers to a batch of prompts, and updates of its last layers.

Shapes: G prompts, each with answers of its own, N answers in all (those to one prompt side by side), T tokens of the
longest answer, L tokens that are attended to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from real_model import attention
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

LONGEST_GRADIENT = 1.0
ENDED = 0.2
"""Share of ended answers from which on they are taken out of the batch."""


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


class Policy:
    def __init__(
        self,
        folder: Path,
        learning_rate: float,
        trained_layers: int = 10,
        dtype: torch.dtype = torch.bfloat16,
    ):
        """
        Args:
            folder: of a model that `transformers` reads, with a chat template.
            trained_layers: how many of the last layers are trained; the others stay as they are.
        """
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention.NAME
        ).requires_grad_(False)
        self.eos, self.pad = self.model.generation_config.eos_token_id, self.tokenizer.pad_token_id
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

    @torch.no_grad()
    def sample(self, texts: Sequence[str], each: int, tokens: int, seed: int | None) -> Sampled:
        """`each` answers to each text, at temperature 1; with `seed` None the most probable token every time.

        One uniform number a token decides, drawn before the answers are: two policies that are alike answer alike.
        """
        prompts = self.prompts(texts)
        N = len(prompts) * each
        draw_NT = (
            None if seed is None else torch.rand(N, tokens, generator=torch.Generator().manual_seed(seed))
        )
        longest = max(map(len, prompts))
        ids = torch.stack([_left_padded(prompt, longest, self.pad) for prompt in prompts])
        is_token = torch.stack([_left_padded(torch.ones_like(prompt), longest, 0) for prompt in prompts])
        cache = DynamicCache(config=self.model.config)
        hidden = self._hidden(ids, is_token, (is_token.cumsum(dim=1) - 1).clamp(min=0), cache)
        # The prompt is computed once for all of its answers.
        cache.batch_repeat_interleave(each)
        hidden, is_token = hidden.repeat_interleave(each, dim=0), is_token.repeat_interleave(each, dim=0)
        answer_NT = torch.full((N, tokens), self.pad)
        running = torch.arange(N)
        for t in range(tokens):
            probability = self._logits(hidden[:, -1]).softmax(dim=-1)
            token = (
                probability.argmax(dim=-1)
                if draw_NT is None
                else _inverse_cdf(probability, draw_NT[running, t])
            )
            answer_NT[running, t] = token
            going = token != self.eos
            if t + 1 == tokens or not going.any():
                break
            if going.float().mean() <= 1 - ENDED:
                kept = going.nonzero()[:, 0]
                running, token, is_token = running[kept], token[kept], is_token[kept]
                cache.batch_select_indices(kept)
            position = is_token.sum(dim=1, keepdim=True)
            is_token = torch.cat([is_token, torch.ones_like(position)], dim=1)
            hidden = self._hidden(token[:, None], is_token, position, cache)
        return self._sampled(prompts, answer_NT)

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
        hidden_L = self._hidden(torch.cat([prompt, *answers])[None], added_LL[None, None], position_L[None])[0]
        # A token is predicted where the one before it stands: the prompt's last for the first of an answer.
        before = torch.arange(len(part_L)) - 1
        is_answer = part_L > 0
        before[is_answer & (position_L == len(prompt))] = len(prompt) - 1
        logits = self._logits(hidden_L[before[is_answer]])
        return logits.log_softmax(dim=-1).gather(-1, torch.cat([*answers])[:, None])[:, 0]

    def update(self, sampled: Sampled, advantage_N: Tensor) -> float:
        """One step on the mean over the batch's tokens, as verl's `token-mean`.

        Returns:
            Norm of the gradient before it is clipped.
        """
        each = len(advantage_N) // len(sampled.prompts)
        for number, prompt in enumerate(sampled.prompts):
            of_prompt = slice(number * each, (number + 1) * each)
            answer_NT, mask_NT = sampled.answer_NT[of_prompt], sampled.mask_NT[of_prompt]
            log_prob = self.log_prob(
                prompt, [answer[mask] for answer, mask in zip(answer_NT, mask_NT, strict=True)]
            )
            advantage = advantage_N[of_prompt].float().repeat_interleave(mask_NT.sum(dim=1))
            (-(advantage * log_prob).sum() / sampled.mask_NT.sum()).backward()
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            master.grad, parameter.grad = parameter.grad.float(), None
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

    def _hidden(
        self, ids: Tensor, attended: Tensor, positions: Tensor, cache: DynamicCache | None = None
    ) -> Tensor:
        out = self.model.model(
            input_ids=ids, attention_mask=attended, position_ids=positions, past_key_values=cache,
            use_cache=cache is not None,
        )  # fmt: skip
        hidden: Tensor = out.last_hidden_state
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        # Of a view that is not contiguous, the product would copy the whole matrix.
        logits: Tensor = self.model.lm_head(hidden.contiguous()).float()
        return logits

    def _sampled(self, prompts: list[Tensor], answer_NT: Tensor) -> Sampled:
        is_end_NT = (answer_NT == self.eos).long()
        mask_NT = (is_end_NT.cumsum(dim=1) - is_end_NT == 0) & (answer_NT != self.pad)
        return Sampled(prompts, answer_NT, mask_NT)

    @torch.no_grad()
    def _copy(self) -> None:
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            parameter.copy_(master)


def _left_padded(tokens: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (length - len(tokens), 0), value=value)


def _inverse_cdf(probability: Tensor, draw: Tensor) -> Tensor:
    """The token at which the sum of the probabilities passes the number drawn from 0 to 1."""
    sum_ = probability.cumsum(dim=-1)
    # The last sum is 1 but for rounding.
    return torch.searchsorted(sum_, draw[:, None] * sum_[:, -1:])[:, 0].clamp(max=probability.shape[-1] - 1)
