"""Answers of a transformers model to a batch of prompts, on a CPU.

Equal prompts are computed once, and answers that have ended leave the batch: `generate` does neither, and takes three
times as long for the groups of a training step.

Shapes: B answers, R of them still running, P tokens of the longest prompt, T tokens of the longest answer, L tokens up
to now, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

ENDED = 0.2
"""Share of ended answers from which on they are taken out of the batch."""

Choose = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(log_prob_RV, ids_RL padded on the left, numbers of the running answers, t) -> their tokens (R,)."""


@dataclass(frozen=True)
class Answers:
    ids_BT: Tensor
    """Padded on the right; the token that ends an answer is part of it."""
    log_prob_BT: Tensor
    """Under the logits over the temperature."""
    length_B: Tensor


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    choose: Choose,
    *,
    eos: int,
    pad: int,
    temperature: float = 1.0,
) -> Answers:
    """One answer to each prompt, of at most `tokens` tokens."""
    B = len(prompts)
    number_of = {prompt: number for number, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    P = max(map(len, number_of))
    ids = torch.stack([_left_padded(torch.tensor(prompt), P, pad) for prompt in number_of])
    is_token = torch.stack([_left_padded(torch.ones(len(prompt)).long(), P, 0) for prompt in number_of])
    cache = DynamicCache(config=model.config)
    logits = _logits(model, ids, is_token, (is_token.cumsum(dim=1) - 1).clamp(min=0), cache)
    of_B = torch.tensor([number_of[tuple(prompt)] for prompt in prompts])
    cache.batch_select_indices(of_B)
    logits, ids, is_token = logits[of_B], ids[of_B], is_token[of_B]
    ids_BT, log_prob_BT = torch.full((B, tokens), pad), torch.zeros(B, tokens)
    length_B = torch.full((B,), tokens)
    row = torch.arange(B)  # of the answers that are still in the batch
    for t in range(tokens):
        log_prob_RV = (logits.float() / temperature).log_softmax(dim=-1)
        token = choose(log_prob_RV, ids, row, t)
        ids_BT[row, t], log_prob_BT[row, t] = token, log_prob_RV.gather(-1, token[:, None])[:, 0]
        length_B[row] = torch.where(token == eos, length_B[row].clamp(max=t + 1), length_B[row])
        going = length_B[row] > t + 1
        if not going.any():
            break
        if going.float().mean() <= 1 - ENDED:
            kept = going.nonzero()[:, 0]
            row, token, ids, is_token = row[kept], token[kept], ids[kept], is_token[kept]
            cache.batch_select_indices(kept)
        position = is_token.sum(dim=1, keepdim=True)
        ids = torch.cat([ids, token[:, None]], dim=1)
        is_token = torch.cat([is_token, torch.ones_like(position)], dim=1)
        logits = _logits(model, token[:, None], is_token, position, cache)
    is_answer_BT = torch.arange(tokens) < length_B[:, None]
    ids_BT, log_prob_BT = ids_BT.where(is_answer_BT, pad), log_prob_BT.where(is_answer_BT, 0.0)
    return Answers(ids_BT, log_prob_BT, length_B)


def inverse_cdf(log_prob_RV: Tensor, draw_R: Tensor) -> Tensor:
    """The tokens at which the sum of the probabilities passes the number drawn from 0 to 1."""
    sum_RV = log_prob_RV.exp().cumsum(dim=-1)
    # The last sum is 1 but for rounding.
    token_R = torch.searchsorted(sum_RV, draw_R[:, None] * sum_RV[:, -1:])[:, 0]
    return token_R.clamp(max=sum_RV.shape[1] - 1)


def _logits(
    model: PreTrainedModel, ids: Tensor, is_token: Tensor, position: Tensor, cache: DynamicCache
) -> Tensor:
    """Of the token that follows."""
    logits: Tensor = model(
        input_ids=ids, attention_mask=is_token, position_ids=position, past_key_values=cache, use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]  # fmt: skip
    return logits


def _left_padded(tokens: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (length - len(tokens), 0), value=value)
