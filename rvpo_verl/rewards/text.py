"""Rule rewards on the text itself: is it short enough, and does it match a pattern?"""

from collections.abc import Iterable, Sized
from functools import lru_cache

import regex as engine

__all__ = ["length", "regex"]


def length(
    response_ids: Sized, max_length: int, buffer: int, response_mask: Iterable[int] | None = None
) -> float:
    """0 for short responses, falling to -1 over the last `buffer` tokens before `max_length`.

        min(0, max(-1, (max_length - buffer - n) / buffer)),   n = len(response_ids)

    The soft overlong punishment of DAPO (arXiv:2503.14476, eq. 13).

    Args:
        response_ids: the tokens of the response, without padding: a list or a one-dimensional tensor.
        response_mask: 1 for the tokens that the model wrote, which alone are counted; by default it wrote all.
        max_length: tokens from which on the reward is -1.
        buffer: tokens over which it falls; 1 for a step.

    Raises:
        ValueError: not 1 <= buffer <= max_length, or not integers.
    """
    for name, value in (("max_length", max_length), ("buffer", buffer)):
        if type(value) is not int:
            raise ValueError(f"{name}={value!r}; accepted: an integer number of tokens")
    if not 1 <= buffer <= max_length:
        raise ValueError(f"buffer={buffer}, max_length={max_length}; accepted: 1 <= buffer <= max_length")
    n = len(response_ids) if response_mask is None else sum(map(bool, response_mask))
    return min(0.0, max(-1.0, (max_length - buffer - n) / buffer))


def regex(
    response: str, pattern: str, *, must_match: bool = True, full: bool = False, timeout_s: float = 1.0
) -> float:
    """1 if the pattern is found in what the model wrote, else 0; the reverse with `must_match=False`.

    Args:
        pattern: in the syntax of the `regex` package; flags are written in it, `(?i)` for instance.
        full: the whole response must match, not some part of it.
        timeout_s: seconds that matching may take.

    Raises:
        ValueError: an invalid pattern.
        TimeoutError: matching took longer, as patterns that backtrack do on some responses.
    """
    compiled = _compile(pattern)
    search = compiled.fullmatch if full else compiled.search
    return float((search(response, timeout=timeout_s) is not None) == must_match)


@lru_cache(maxsize=256)
def _compile(pattern: str) -> engine.Pattern:
    try:
        return engine.compile(pattern)
    except (engine.error, TypeError) as error:
        raise ValueError(f"pattern={pattern!r} is not a regular expression: {error}") from error
