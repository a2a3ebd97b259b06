"""What a reward function can ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One response. Each field is an argument that a reward function may name.

    The rewards of a response run at the same time and share these objects: do not change anything in them.
    """

    response: str
    """What the model wrote, without special tokens. Of several turns, these texts one after the other, without what it
    received in between."""
    ground_truth: Any = None
    """What the row gives as `reward_model.ground_truth`."""
    messages: list[dict[str, Any]] | None = None
    """The prompt as chat messages, without the response."""
    turns: list[dict[str, Any]] = field(default_factory=list)
    """The response as chat messages: `assistant` for what the model wrote, `tool` for what it received in between, as
    the chat template writes it. A single one of `assistant` where nothing was received."""
    last_turn: str = ""
    """What the model wrote last; the whole `response` where it received nothing."""
    data_source: str | None = None
    """The dataset that the row belongs to."""
    extra_info: dict[str, Any] = field(default_factory=dict)
    """The row's `extra_info`, with what verl adds under other names: `num_turns`, `rollout_reward_scores`, and the
    fields of an agent loop and its tools."""
    response_ids: list[int] | None = None
    """The tokens of the response, without padding; where tools were called, their answers too."""
    response_mask: list[int] | None = None
    """1 for each of `response_ids` that the model wrote, 0 for one that it received."""
    tool_rewards: list[float] = field(default_factory=list)
    """The rewards that tools returned, one for each call, in order."""
    turn_scores: list[float] = field(default_factory=list)
    """The scores that an agent loop gave to turns, in order."""
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

    def __post_init__(self) -> None:
        turns = self.turns or [{"role": "assistant", "content": self.response}]
        object.__setattr__(self, "turns", turns)
        object.__setattr__(self, "last_turn", self.last_turn or (written(turns) or [self.response])[-1])


def written(turns: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the model wrote, turn by turn."""
    return [turn["content"] for turn in turns if turn["role"] == "assistant"]


ARGUMENTS = tuple(argument.name for argument in fields(Sample))

COLUMN_OF_ARGUMENT = {
    "ground_truth": "reward_model.ground_truth",
    "data_source": "data_source",
    "extra_info": "extra_info",
}
"""Column of the data that fills an argument."""
