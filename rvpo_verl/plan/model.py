"""The sizes of a decoder that decide its memory, without downloading it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ModelShape:
    """A decoder of Qwen2's kind: grouped-query attention with biases on q, k and v, and a gated MLP."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether input embedding and output layer are one matrix."""

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values, of one token in one layer."""
        return self.hidden // self.heads * self.kv_heads

    @property
    def parameters(self) -> int:
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv_width  # q, o, k, v
        biases = self.hidden + 2 * self.kv_width
        layer = attention + biases + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * layer + embeddings + self.hidden


# From the config.json of the published checkpoints; base and instruct are alike.
QWEN2_5 = {
    "0.5B": ModelShape(896, 24, 14, 2, 4864, 151936, True),
    "1.5B": ModelShape(1536, 28, 12, 2, 8960, 151936, True),
    "3B": ModelShape(2048, 36, 16, 2, 11008, 151936, True),
    "7B": ModelShape(3584, 28, 28, 4, 18944, 152064, False),
    "14B": ModelShape(5120, 48, 40, 8, 13824, 152064, False),
    "32B": ModelShape(5120, 64, 40, 8, 27648, 152064, False),
}


def model_shape(path: str) -> ModelShape | None:
    """The shape of a local model, or of a Qwen2.5 by its name on the hub; None if neither is known."""
    file = Path(path).expanduser() / "config.json"
    if file.exists():
        return _from_config(file)
    name = path.rstrip("/").rpartition("/")[2].lower()
    for size, shape in QWEN2_5.items():
        if name.startswith("qwen2.5-") and f"-{size.lower()}" in name:
            return shape
    return None


def _from_config(file: Path) -> ModelShape | None:
    config = json.loads(file.read_text())
    try:
        return ModelShape(
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads", config["num_attention_heads"]),
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", False),
        )
    except KeyError:  # not a plain decoder
        return None


def gigabytes(count: float) -> float:
    """GiB, as cards are sold and drivers report them."""
    return count / math.pow(2, 30)
