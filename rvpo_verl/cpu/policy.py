"""A tiny Qwen2 policy built on the spot: its tokenizer, its weights, and a short supervised warm-up.

Shapes: B demonstrations, T tokens of the longest, H hidden units.
"""

import hashlib
import inspect
import itertools
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import platformdirs
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from rvpo_verl.cpu import tasks
from rvpo_verl.cpu.tasks import Flaws
from rvpo_verl.data.rlla import ground_truth
from rvpo_verl.data.rows import Row
from rvpo_verl.errors import UserError

Progress = Callable[[int, int, float], None]
"""Called after each step of the warm-up with step, steps and loss."""

Demonstration = tuple[list[int], list[int]]
"""Tokens of a prompt and of an answer to it."""

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class WarmUp:
    """What determines a warmed-up policy, besides its rows. The defaults learn the generated tasks in minutes."""

    merges: int = 500
    """Merges of the tokenizer, which starts from single bytes."""
    hidden_size: int = 96
    intermediate_size: int = 288
    layers: int = 2
    heads: int = 4
    key_value_heads: int = 4
    initializer_range: float = 0.1
    """About 1/sqrt(hidden_size). With Qwen2's 0.02, the policy needs twice the steps to learn copying."""
    positions: int = 2048
    clean_steps: int = 750
    """Steps on ground truths. From flawed demonstrations the policy hardly learns to copy arguments."""
    flawed_steps: int = 250
    """Steps on flawed demonstrations, after which the policy still makes errors that training can remove."""
    batch_size: int = 16
    learning_rate: float = 3e-3
    prompt_weight: float = 0.1
    """Weight of a prompt's token in the loss, against 1 for an answer's."""
    max_prompt_tokens: int = 160
    max_answer_tokens: int = 80
    """Longer rows help build the tokenizer and are left out of the warm-up."""
    prompt_tail: int | None = None
    """Three steps in four see only this many tokens at the end of a prompt, which is cheap. None: always all."""
    seconds: float = 420.0
    """Limit. On a machine that would need longer, the learning rate falls faster and the warm-up ends early."""
    seed: int = 0


def build_tokenizer(texts: Iterable[str], merges: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer of class Qwen2Tokenizer, as which verl and transformers load it."""
    untrained = Qwen2Tokenizer(eos_token=END, pad_token=PAD, additional_special_tokens=[START, END])
    bytes_and_specials = 256 + 3
    tokenizer: PreTrainedTokenizerBase = untrained.train_new_from_iterator(
        texts, vocab_size=bytes_and_specials + merges, show_progress=False
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(tokenizer: PreTrainedTokenizerBase, settings: WarmUp) -> Qwen2ForCausalLM:
    """The policy with random weights, drawn from torch's generator."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=settings.intermediate_size,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.key_value_heads,
            initializer_range=settings.initializer_range,
            max_position_embeddings=settings.positions,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def prompt_ids(tokenizer: PreTrainedTokenizerBase, row: Row) -> list[int]:
    ids = tokenizer.apply_chat_template(
        row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return cast("list[int]", ids)  # of one conversation, as tokens


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    return [*tokenizer.encode(answer), tokenizer.eos_token_id]


def fitting(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], settings: WarmUp) -> list[Row]:
    """The rows whose prompt and answer are within the limits of `settings`."""
    return [
        row
        for row in rows
        if len(prompt_ids(tokenizer, row)) <= settings.max_prompt_tokens
        and len(answer_ids(tokenizer, ground_truth(row))) <= settings.max_answer_tokens
    ]


def warm_up(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    settings: WarmUp,
    progress: Progress | None = None,
) -> list[float]:
    """Train on the rows' answers, then on flawed variants of them. Returns the loss of every step."""
    rng = random.Random(settings.seed)
    flaws = Flaws(rows)
    examples = _examples(tokenizer, rows, settings, rng)
    steps = settings.clean_steps + settings.flawed_steps

    def demonstrations(step: int, done: float) -> list[Demonstration]:
        first = 0 if settings.prompt_tail is None or step % 4 == 0 else -settings.prompt_tail
        clean = done < settings.clean_steps / steps
        return [
            (
                prompt[first:],
                answer_ids(tokenizer, ground_truth(row) if clean else flaws.demonstration(row, rng)),
            )
            for row, prompt in itertools.islice(examples, settings.batch_size)
        ]

    return teach(model, demonstrations, settings, progress)


def teach(
    model: Qwen2ForCausalLM,
    demonstrations: Callable[[int, float], Sequence[Demonstration]],
    settings: WarmUp,
    progress: Progress | None = None,
) -> list[float]:
    """Supervised steps on demonstrations. Returns the loss of every step.

    Args:
        demonstrations: returns those of a step, given its number and the share of the warm-up done before it.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    steps = settings.clean_steps + settings.flawed_steps
    done, losses, started = 0.0, [], time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        warming = min(1.0, step / 30)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warming * (0.55 + 0.45 * math.cos(math.pi * done))
        loss = _loss(model, demonstrations(step, done), settings.prompt_weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        done = max(step / steps, (time.monotonic() - started) / settings.seconds)
        if progress is not None:
            progress(min(steps, round(done * steps)), steps, losses[-1])
        if done >= 1:
            break
    model.eval()
    return losses


def _examples(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], settings: WarmUp, rng: random.Random
) -> Iterator[tuple[Row, list[int]]]:
    """Endless shuffled passes over the rows that fit, with the tokens of their prompts.

    Raises:
        UserError: no row fits.
    """
    prompts: dict[int, list[int] | None] = {}
    while True:
        for index in rng.sample(range(len(rows)), len(rows)):
            if index not in prompts:
                fits = fitting(tokenizer, [rows[index]], settings)
                prompts[index] = prompt_ids(tokenizer, rows[index]) if fits else None
            if (prompt := prompts[index]) is not None:
                yield rows[index], prompt
        if not any(prompts.values()):
            raise UserError(
                f"none of the {len(rows)} rows fits: at most {settings.max_prompt_tokens} tokens in the prompt and "
                f"{settings.max_answer_tokens} in the answer; add shorter rows"
            )


def _loss(model: Qwen2ForCausalLM, demonstrations: Sequence[Demonstration], prompt_weight: float) -> Tensor:
    """Cross-entropy of answers and, with less weight, of prompts."""
    longest = max(len(prompt) + len(answer) for prompt, answer in demonstrations)
    ids_BT = torch.zeros(len(demonstrations), longest, dtype=torch.long)
    weight_BT = torch.zeros(len(demonstrations), longest)
    for row, (prompt, answer) in enumerate(demonstrations):
        length = len(prompt) + len(answer)
        ids_BT[row, :length] = torch.tensor(prompt + answer)
        weight_BT[row, : len(prompt)] = prompt_weight
        weight_BT[row, len(prompt) : length] = 1.0
    # Padding is on the right of an answer, where causal attention does not reach it.
    hidden_BTH = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state[:, :-1]
    counts_BT = weight_BT[:, 1:] > 0
    loss = F.cross_entropy(model.lm_head(hidden_BTH[counts_BT]), ids_BT[:, 1:][counts_BT], reduction="none")
    weight = weight_BT[:, 1:][counts_BT]
    return (loss * weight).sum() / weight.sum()


def warmed_up_policy(
    rows: Sequence[Row],
    settings: WarmUp,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Folder of the policy for `rows` and `settings`, trained unless it is in the cache.

    Args:
        cache: folder of such policies; the user's cache folder if None.
    """

    def build(folder: Path) -> None:
        with seeded(settings.seed):
            texts = [
                message[part] for part in ("content", "role") for row in rows for message in row["prompt"]
            ]
            texts += [ground_truth(row) for row in rows]
            tokenizer = build_tokenizer(texts, settings.merges)
            model = build_model(tokenizer, settings)
            warm_up(model, tokenizer, rows, settings, progress)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    cache = Path(platformdirs.user_cache_dir("rvpo-verl")) if cache is None else cache
    return built_once(cache / f"policy-{cache_key(rows, settings)}", build)


def built_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """`folder`, filled by `build` unless it exists. It is renamed into place when finished, never before."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        build(building)
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process has finished the same build
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def cache_key(rows: Sequence[Row], settings: WarmUp) -> str:
    """A hash of everything that the warmed-up policy depends on."""
    inputs = {
        "settings": asdict(settings),
        "rows": list(rows),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "source": [inspect.getsource(module) for module in (tasks, sys.modules[__name__])],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch and run it on one thread; restore both afterwards.

    Operations this small gain little from a second core, and lose much when another process runs on it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
