"""A word-level recurrent policy, many of them at once: every parameter has a leading dimension of runs.

Shapes: R runs, N answers of each run, T words, F fields of a prompt, V vocabulary, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiment.prompts import FIELD_SIZES
from experiment.words import END, MAX_WORDS, VOCABULARY

HIDDEN, CONTEXT = 32, 80
START = VOCABULARY
"""Input at the first position."""

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Sampled:
    words_RNT: Tensor
    log_prob_RNT: Tensor
    """Of each sampled word, with its graph; 0 after END."""
    mask_RNT: Tensor
    """1 on the words of the answer, its END included."""


def initialize(runs: int, generator: torch.Generator) -> Parameters:
    """Parameters of `runs` policies, each drawn anew."""

    def draw(*shape: int, scale: float) -> Tensor:
        return torch.randn(runs, *shape, generator=generator) * scale

    return {
        "fields": draw(sum(FIELD_SIZES), CONTEXT, scale=0.5),
        "context_bias": torch.zeros(runs, 1, CONTEXT),
        "start": draw(CONTEXT, HIDDEN, scale=CONTEXT**-0.5),
        "context": draw(CONTEXT, 3 * HIDDEN, scale=CONTEXT**-0.5),
        "words": draw(VOCABULARY + 1, 3 * HIDDEN, scale=0.3),
        "recurrent": draw(HIDDEN, 3 * HIDDEN, scale=HIDDEN**-0.5),
        "out": draw(HIDDEN, VOCABULARY, scale=HIDDEN**-0.5),
        "out_bias": torch.zeros(runs, 1, VOCABULARY),
    }


def size(parameters: Parameters) -> int:
    """Parameters of one policy."""
    return sum(tensor[0].numel() for tensor in parameters.values())


def sample(parameters: Parameters, prompts_RNF: Tensor, uniform_TRN: Tensor) -> Sampled:
    """Answers at temperature 1, word t of each drawn by inversion from uniform_TRN[t]."""
    return _unroll(parameters, prompts_RNF, uniform_TRN, drawn=True)


def log_prob(parameters: Parameters, prompts_RNF: Tensor, words_RNT: Tensor) -> Sampled:
    """Of given answers, as for supervised training."""
    return _unroll(parameters, prompts_RNF, words_RNT, drawn=False)


def _unroll(parameters: Parameters, prompts_RNF: Tensor, source: Tensor, *, drawn: bool) -> Sampled:
    """
    Args:
        source: (T, R, N) uniform numbers that words are drawn with, or (R, N, T) words.
    """
    R, N, _ = prompts_RNF.shape
    offsets = torch.tensor([sum(FIELD_SIZES[:i]) for i in range(len(FIELD_SIZES))])
    fields_RND = _rows(parameters["fields"], (prompts_RNF + offsets).flatten(1))
    context_RND = fields_RND.view(R, N, len(FIELD_SIZES), CONTEXT).sum(dim=2) + parameters["context_bias"]
    context_RND = torch.relu(context_RND)
    hidden_RNH = torch.tanh(context_RND @ parameters["start"])
    context_RN3H = context_RND @ parameters["context"]

    word_RN = torch.full((R, N), START)
    alive_RN = torch.ones(R, N)
    words, log_probs, masks = [], [], []
    for t in range(MAX_WORDS):
        hidden_RNH = _gru(parameters, hidden_RNH, _rows(parameters["words"], word_RN) + context_RN3H)
        logits_RNV = torch.baddbmm(parameters["out_bias"], hidden_RNH, parameters["out"])
        log_RNV = logits_RNV.log_softmax(dim=-1)
        if not drawn:
            word_RN = source[..., t]
        else:
            cumulative_RNV = log_RNV.detach().exp().cumsum(dim=-1)
            # The last value may be a rounding below the uniform draw.
            word_RN = (cumulative_RNV < source[t, ..., None]).sum(dim=-1).clamp(max=VOCABULARY - 1)
            word_RN = torch.where(alive_RN > 0, word_RN, END)
        words.append(word_RN)
        log_probs.append(log_RNV.gather(-1, word_RN[..., None])[..., 0] * alive_RN)
        masks.append(alive_RN)
        alive_RN = alive_RN * (word_RN != END)
        if not alive_RN.any():
            break
    missing = MAX_WORDS - len(words)
    stack = [torch.stack(each, dim=-1) for each in (words, log_probs, masks)]
    return Sampled(*(torch.nn.functional.pad(each, (0, missing)) for each in stack))


def _gru(parameters: Parameters, hidden_RNH: Tensor, inputs_RN3H: Tensor) -> Tensor:
    recurrent_RN3H = hidden_RNH @ parameters["recurrent"]
    gates = torch.sigmoid(inputs_RN3H[..., : 2 * HIDDEN] + recurrent_RN3H[..., : 2 * HIDDEN])
    reset, update = gates.chunk(2, dim=-1)
    candidate = torch.tanh(inputs_RN3H[..., 2 * HIDDEN :] + reset * recurrent_RN3H[..., 2 * HIDDEN :])
    return torch.lerp(candidate, hidden_RNH, update)


def _rows(table_RVD: Tensor, index_RN: Tensor) -> Tensor:
    """table[r, index[r, n]] as (R, N, D)."""
    R, V, D = table_RVD.shape
    flat = index_RN + V * torch.arange(R)[:, None]
    return torch.nn.functional.embedding(flat, table_RVD.reshape(R * V, D))


def clip_norm(parameters: Parameters, longest: float) -> None:
    """Scales each run's gradient to a norm of at most `longest`."""
    gradients = [tensor.grad for tensor in parameters.values() if tensor.grad is not None]
    squares_R = sum((each.flatten(1).square().sum(dim=1) for each in gradients), start=torch.zeros(()))
    factor_R = (longest / (squares_R.sqrt() + 1e-6)).clamp(max=1.0)
    for each in gradients:
        each.mul_(factor_R[:, None, None])
