"""Looks at what rewards depend on, data and services, once, in the driver, before a training starts."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rvpo_verl.attach.data_files import check_data_sources
from rvpo_verl.attach.verl_config import rewards_config, run_context, unknown_arguments
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Scorer

logger = logging.getLogger("rvpo_verl")

_PLANNING: ContextVar[bool] = ContextVar("rvpo_planning", default=False)


@contextmanager
def planning() -> Iterator[None]:
    """verl's launchers inside validate a configuration and start no training, so that nothing is asked."""
    token = _PLANNING.set(True)
    try:
        yield
    finally:
        _PLANNING.reset(token)


def probe(config: Any) -> None:
    """Looks at the data of a valid configuration and asks the services of its rewards. Does nothing in a Ray worker.

    Raises:
        ConfigError: a reward could only fail.
    """
    ray = sys.modules.get("ray")
    in_worker = ray is not None and ray.is_initialized()
    rewards = rewards_config(config)
    if rewards is None or in_worker or _PLANNING.get():
        return
    try:
        warnings = [
            *check_data_sources(config),
            *Scorer(rewards, without=unknown_arguments(config)).probe(run_context(config)),
        ]
    except ConfigError as error:
        complaints = "\n  ".join(str(error).splitlines())
        raise ConfigError(f"rvpo_verl: this configuration cannot train:\n  {complaints}") from error.__cause__
    for warning in warnings:
        logger.warning(warning)
