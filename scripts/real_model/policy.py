"""A pretrained model on a CPU: sampling in bfloat16, and updates of its last layers in float32.

Shapes: N answers, P tokens of the padded prompts, T tokens of the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

LONGEST_GRADIENT = 1.0
MICRO_BATCH = 12


@dataclass(frozen=True)
class Sampled:
    prompt_NP: Tensor
    """Padded on the left."""
    prompt_mask_NP: Tensor
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
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).requires_grad_(False)
        self.eos, self.pad = self.model.generation_config.eos_token_id, self.tokenizer.pad_token_id
        layers = self.model.model.layers[-trained_layers:]
        self.parameters = [*layers.parameters(), *self.model.model.norm.parameters()]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        # bfloat16 has too few digits for small steps: they are added up in float32.
        self.masters = [torch.nn.Parameter(parameter.detach().float()) for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.masters, lr=learning_rate, weight_decay=0.0)

    def prompts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens and mask."""
        chats = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in texts
        ]
        encoded = self.tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False)
        return encoded.input_ids, encoded.attention_mask

    @torch.no_grad()
    def sample(self, texts: Sequence[str], tokens: int, seed: int) -> Sampled:
        """One answer to each text, at temperature 1."""
        prompt_NP, prompt_mask_NP = self.prompts(texts)
        torch.manual_seed(seed)
        sequences = self.model.eval().generate(
            input_ids=prompt_NP, attention_mask=prompt_mask_NP, max_new_tokens=tokens, do_sample=True,
            temperature=1.0, top_k=0, top_p=1.0, eos_token_id=self.eos, pad_token_id=self.pad,
        )  # fmt: skip
        return self.sampled(texts, sequences[:, prompt_NP.shape[1] :])

    def sampled(self, texts: Sequence[str], answer_NT: Tensor) -> Sampled:
        """Answers that were sampled before, by their tokens."""
        prompt_NP, prompt_mask_NP = self.prompts(texts)
        is_end_NT = (answer_NT == self.eos).long()
        mask_NT = (is_end_NT.cumsum(dim=1) - is_end_NT == 0) & (answer_NT != self.pad)
        return Sampled(prompt_NP, prompt_mask_NP, answer_NT, mask_NT)

    def texts(self, sampled: Sampled) -> list[str]:
        kept_NT = torch.where(sampled.mask_NT, sampled.answer_NT, self.pad)
        return self.tokenizer.batch_decode(
            kept_NT, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def update(self, sampled: Sampled, advantage_N: Tensor) -> float:
        """One step on the mean over the batch's tokens, as verl's `token-mean`.

        Returns:
            Norm of the gradient before it is clipped.
        """
        self.model.train()
        total = sampled.mask_NT.sum()
        # Answers of similar length together, so that little padding is computed.
        for chosen in sampled.length_N.argsort().split(MICRO_BATCH):
            mask_NT = sampled.mask_NT[chosen]
            T = int(mask_NT.sum(dim=1).max())
            if T == 0:
                continue
            mask_NT = mask_NT[:, :T]
            attention = torch.cat([sampled.prompt_mask_NP[chosen], mask_NT.long()], dim=1)
            ids = torch.cat([sampled.prompt_NP[chosen], sampled.answer_NT[chosen, :T]], dim=1)
            positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
            hidden = self.model.model(input_ids=ids, attention_mask=attention, position_ids=positions)
            logits = self.model.lm_head(hidden.last_hidden_state[:, -T - 1 : -1]).float()
            log_prob_NT = torch.log_softmax(logits, dim=-1).gather(-1, ids[:, -T:, None])[..., 0]
            loss = -(advantage_N[chosen, None].float() * log_prob_NT * mask_NT).sum() / total
            loss.backward()
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

    @torch.no_grad()
    def _copy(self) -> None:
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            parameter.copy_(master)
