"""What a reward function can ask for."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One response. Each field is an argument that a reward function may name.

    The rewards of a response run at the same time and share these objects: do not change anything in them.
    """

    response: str
    """The text of the response, without special tokens."""
    ground_truth: Any = None
    """What the row gives as `reward_model.ground_truth`."""
    messages: list[dict[str, Any]] | None = None
    """The prompt as chat messages, without the response."""
    data_source: str | None = None
    """The dataset that the row belongs to."""
    extra_info: dict[str, Any] = field(default_factory=dict)
    """The row's `extra_info`, with what verl adds: `num_turns`, `rollout_reward_scores`, fields of tools."""
    response_ids: list[int] | None = None
    """The tokens of the response, without padding; where tools were called, their answers too."""
    tokenizer: Any = None
    """The policy's tokenizer."""
    reward_router_address: str | None = None
    """`host:port` of the reward model that verl serves; None without one."""
    reward_model_tokenizer: Any = None
    """The tokenizer of that reward model; None without one."""
    global_step: int | None = None
    """The trainer's step that the response is for, from 1; None where verl does not know it."""
    validate: bool | None = None
    """Whether it is scored for validation and not for training; None where verl does not know it."""
    reward_workers: int = 1
    """Processes that score the responses of this run, this one included; verl's `reward.num_workers`."""


ARGUMENTS = tuple(argument.name for argument in fields(Sample))

COLUMN_OF_ARGUMENT = {
    "ground_truth": "reward_model.ground_truth",
    "data_source": "data_source",
    "extra_info": "extra_info",
}
"""Column of the data that fills an argument."""
