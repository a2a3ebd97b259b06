"""What a reward is: a callable that names its arguments, and optionally says more about itself.

A plain function is a reward. An object with `__call__` may add any of the methods below; start-up validation
and `rvpo-verl plan` ask them, so that neither knows any reward by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class RunContext:
    """What is known of the training before it starts."""

    reward_workers: int = 1
    """Processes that will score responses."""
    serves_reward_model: bool = False
    """Whether verl serves a reward model, whose address is not known yet."""
    timeout: float | None = None
    """`timeout` of this reward, in seconds."""


class Reward(Protocol):
    """`(**named arguments) -> float | None | dict[str, float | Score | None]`, sync or async."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@runtime_checkable
class Validates(Protocol):
    def validate(self, kwargs: Mapping[str, Any], run: RunContext) -> None:
        """Checks the reward's `kwargs`. Pure: opens no file and no connection.

        Raises:
            ConfigError: the reward could only fail.
        """


@runtime_checkable
class Probes(Protocol):
    def probe(self, kwargs: Mapping[str, Any], run: RunContext) -> list[str]:
        """Asks the services that the reward depends on once, in the driver, before anything is loaded.

        Returns:
            Warnings.

        Raises:
            ConfigError: the reward could only fail.
        """


@runtime_checkable
class RequiresColumns(Protocol):
    def required_columns(self, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
        """Columns of the data that the reward reads, such as `extra_info.rubric`."""


@runtime_checkable
class CallsServices(Protocol):
    def calls_per_response(self, kwargs: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        """Calls to services for one response to the prompt of `row`, a row of the data file."""
