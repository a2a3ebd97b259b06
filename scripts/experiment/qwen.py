"""The launcher's policy: a tiny Qwen2 whose tokens are the experiment's words, warmed up as the loop's policies are.

Shapes: N demonstrations, T words, F fields of a prompt.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AddedToken, PreTrainedTokenizerBase, Qwen2Tokenizer

from experiment import prompts, warm_up, words
from experiment.prompts import ASKED, AT_DAY, AT_PLACE, FORBIDDEN
from rvpo_verl.cpu import policy

SETTINGS = policy.WarmUp(
    hidden_size=64, intermediate_size=192, layers=2, heads=4, key_value_heads=4, initializer_range=0.125,
    positions=32, clean_steps=0, flawed_steps=warm_up.STEPS, batch_size=warm_up.BATCH, prompt_weight=0.0,
    seconds=math.inf, seed=warm_up.SEED,
)  # fmt: skip
TAUGHT = (*((share, warm_up.RECEIPT) for share in warm_up.FORBIDDEN_TOOL), (warm_up.FORBIDDEN_TOOL[1], 0.025))
"""Of each checkpoint: share of demonstrations that break the rule, and that have the receipt.

The loop's first, and one more. The loop's network learns only a third of the receipts that it is shown, a
Qwen2 all of them; the last checkpoint is the loop's second with receipts as rare as that one gives them.
"""
MAX_PROMPT = 5
"""Words of a prompt: tool, place, day, the forbidden tool if there is one, and the start of the answer."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}" + policy.START + "{% endif %}"
)
_WORD_OF = {policy.END: words.END} | {text: word for word, text in enumerate(words.WORDS) if text}
_TOKEN_OF = {word: token for token, word in _WORD_OF.items()}


def build_tokenizer() -> PreTrainedTokenizerBase:
    """One token for each word, and none for any other text; blanks between words are nothing."""
    specials = [policy.START, policy.END, "\n"]  # verl asks a Qwen2 for its newline
    tokenizer = Qwen2Tokenizer(
        vocab={}, merges=[], eos_token=policy.END, pad_token=policy.PAD, additional_special_tokens=specials
    )
    tokenizer.add_tokens([AddedToken(text, lstrip=True, normalized=False) for text in words.WORDS if text])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def prompt_text(prompt: Sequence[int]) -> str:
    """A prompt as the user's message: the tool asked for, place, day, and the forbidden tool if there is one."""
    said = [words.TOOL + prompt[ASKED], words.WHERE_0 + prompt[AT_PLACE], words.WHEN_0 + prompt[AT_DAY]]
    if prompt[FORBIDDEN]:
        said.append(words.TOOL + prompt[FORBIDDEN] - 1)
    return " ".join(words.WORDS[word] for word in said)


def message(prompt: Sequence[int]) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt_text(prompt)}]


def token_ids(tokenizer: PreTrainedTokenizerBase, answer: Sequence[int]) -> list[int]:
    """An answer's tokens, with its END if it has one."""
    length = answer.index(words.END) + 1 if words.END in answer else len(answer)
    return [_id(tokenizer, _TOKEN_OF[word]) for word in answer[:length]]


def _id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    return cast(int, tokenizer.convert_tokens_to_ids(token))  # of one token


def answer_words(tokenizer: PreTrainedTokenizerBase, response_ids: Sequence[int]) -> list[int]:
    """The words of MAX_WORDS that tokens stand for. Special tokens are no text, as for verl, which drops them."""
    known = [_WORD_OF.get(token) for token in tokenizer.convert_ids_to_tokens(list(response_ids))]
    found = [word for word in known if word is not None][: words.MAX_WORDS]
    return found + [words.END] * (words.MAX_WORDS - len(found))


def checkpoint(number: int, cache: Path, progress: policy.Progress | None = None) -> Path:
    """Folder of the policy that learned what is TAUGHT to this checkpoint, trained unless it is there."""
    forbidden_tool, receipt = TAUGHT[number]

    def build(folder: Path) -> None:
        with policy.seeded(SETTINGS.seed + number):
            tokenizer = build_tokenizer()
            model = policy.build_model(tokenizer, SETTINGS)
            generator = torch.Generator().manual_seed(SETTINGS.seed + number)

            def demonstrations(step: int, done: float) -> list[policy.Demonstration]:
                asked_NF = prompts.sample(SETTINGS.batch_size, generator)
                answers_NT = warm_up.demonstrations(asked_NF, forbidden_tool, generator, receipt)
                return _tokens(tokenizer, asked_NF, answers_NT)

            policy.teach(model, demonstrations, SETTINGS, progress)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    decides = json.dumps({"taught": TAUGHT[number], **asdict(SETTINGS)}, sort_keys=True)
    key = hashlib.sha256(decides.encode()).hexdigest()[:8]
    return policy.built_once(cache / f"policy-{number}-{key}", build)


def _tokens(
    tokenizer: PreTrainedTokenizerBase, prompts_NF: Tensor, answers_NT: Tensor
) -> list[policy.Demonstration]:
    return [
        (
            [*tokenizer.encode(prompt_text(prompt)), _id(tokenizer, policy.START)],
            token_ids(tokenizer, answer),
        )
        for prompt, answer in zip(prompts_NF.tolist(), answers_NT.tolist(), strict=True)
    ]
