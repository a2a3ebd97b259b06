"""Rewards for launcher runs that end in odd ways, or say what they were told. None varies within a group."""

import asyncio

from tests.support.process_rewards import by_alarm

__all__ = ["by_alarm"]


def runs_the_answer(response):
    """Ends the interpreter for some answers, as `exec` does on an answer that calls `exit()`."""
    exec("exit()" if len(response) % 3 == 0 else "", {})
    return 1.0


async def is_cancelled(response):
    if len(response) % 3 == 1:
        raise asyncio.CancelledError
    return 1.0


class Unprintable(BaseException):
    def __str__(self):
        raise SystemExit


def unprintable(response):
    if len(response) % 3 == 2:
        raise Unprintable
    return 1.0


def never(response):
    return None


def told(global_step, validate):
    """The step, negative in a validation."""
    return -global_step if validate else global_step


def easy(response):
    return 1.0
