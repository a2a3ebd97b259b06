"""A policy with random weights and a tokenizer trained on the rows it is used with."""

from collections.abc import Sequence
from pathlib import Path

from rvpo_verl.cpu import policy
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.data.rows import Row


def save_random_policy(folder: Path, rows: Sequence[Row], settings: WarmUp) -> None:
    """Save model and tokenizer in `folder`. The same arguments give the same policy."""
    texts = [message["content"] for row in rows for message in row["prompt"]]
    tokenizer = policy.build_tokenizer(texts, settings.merges)
    with policy.seeded(settings.seed):
        policy.build_model(tokenizer, settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
