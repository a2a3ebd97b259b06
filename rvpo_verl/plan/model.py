"""The sizes of a decoder that decide its memory, from its configuration and without its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvpo_verl.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FIELDS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "vocab_size", "tie_word_embeddings",
)  # fmt: skip
KNOWN_MODELS: dict[str, tuple[int, ...]] = {
    "qwen2.5-1.5b": (1536, 28, 12, 2, 8960, 151936, True),
    "qwen2.5-3b": (2048, 36, 16, 2, 11008, 151936, True),
    "qwen2.5-7b": (3584, 28, 28, 4, 18944, 152064, False),
    "qwen2.5-14b": (5120, 48, 40, 8, 13824, 152064, False),
}
"""The models of the recipes, for machines that cannot reach the hub: `FIELDS` of the published config.json, the same
for base and instruct models."""


@dataclass(frozen=True)
class ModelShape:
    parameters: int
    """Tied weights counted once."""
    layer_parameters: int
    """Of the largest layer, the unit that FSDP gathers."""
    layers: int
    hidden: int
    intermediate: int
    """Width of the MLP that one token passes: of all its experts together, without shared ones."""
    kv_width: int
    """Width of the keys, and of the values, of one token in one layer."""
    vocabulary: int


def model_shape(path: str, trust_remote_code: bool = False) -> ModelShape:
    """The shape of a local model, or of one on the hub, of which only the configuration is downloaded.

    Args:
        path: verl's `actor_rollout_ref.model.path`.
        trust_remote_code: whether the model may bring its own code, as in verl's configuration.

    Raises:
        UserError: there is no configuration, or no model can be built from it.
    """
    config = _read_config(path, trust_remote_code)
    try:
        return _measure(config, trust_remote_code)
    # Any model of transformers, or of the hub, is built here, and each fails in its own way.
    except Exception as error:
        raise UserError(
            f"{path}: transformers cannot build the model: {type(error).__name__}: {error}"
        ) from error


def _read_config(path: str, trust_remote_code: bool) -> "PretrainedConfig":
    from transformers import AutoConfig, Qwen2Config

    folder = Path(path).expanduser()
    known = KNOWN_MODELS.get(folder.name.lower().removesuffix("-instruct"))
    if known is not None and not folder.is_dir():
        sizes: dict[str, Any] = dict(zip(FIELDS, known, strict=True))
        return Qwen2Config(**sizes)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            str(folder) if folder.is_dir() else path, trust_remote_code=trust_remote_code
        )
        return config
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: no configuration of a model that transformers knows, neither local nor on the hub: {reason}"
        ) from error


def _measure(config: "PretrainedConfig", trust_remote_code: bool) -> ModelShape:
    import torch
    import transformers

    decoder = config.get_text_config()
    classes = [getattr(transformers, name, None) for name in config.architectures or ()]
    with torch.device("meta"):  # parameters have shapes and take no memory
        if classes and classes[0] is not None:
            model = classes[0](config)
        else:
            model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    parameters = _count(model)
    # The classes that verl wraps with FSDP, unless it is configured otherwise.
    wrapped = set(getattr(model, "_no_split_modules", None) or ())
    layers = [_count(module) for module in model.modules() if type(module).__name__ in wrapped]
    heads = decoder.num_attention_heads
    head_dim = getattr(decoder, "head_dim", None) or decoder.hidden_size // heads
    # Experts, where there are some, have a width of their own or that of a dense MLP.
    width = getattr(decoder, "moe_intermediate_size", None) or getattr(decoder, "intermediate_size", None)
    return ModelShape(
        parameters=parameters,
        layer_parameters=max(layers, default=parameters),
        layers=decoder.num_hidden_layers,
        hidden=decoder.hidden_size,
        intermediate=(width or 4 * decoder.hidden_size)
        * (getattr(decoder, "num_experts_per_tok", None) or 1),
        kv_width=(getattr(decoder, "num_key_value_heads", None) or heads) * head_dim,
        vocabulary=decoder.vocab_size,
    )


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
