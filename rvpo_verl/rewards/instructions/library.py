"""The checkers of if-verifiable: found by kind, and built with complete arguments only."""

import contextlib
import difflib
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from threading import Lock
from typing import Any

from rvpo_verl.errors import ConfigError, UserError

Check = Callable[[str], bool]
"""Whether an answer meets a constraint."""

_lock = Lock()
"""Held while the library is imported, and while a checker is built."""


def registry() -> Mapping[str, type]:
    """Class of the checker by kind, of IFEval and IFBench.

    Raises:
        ConfigError: if-verifiable is not installed.
    """
    with _lock:
        return _registry()


@cache
def _registry() -> dict[str, type]:
    try:
        import nltk

        # On import the library downloads what is missing of nltk's data, which waits for a network that a
        # worker may not have. `resources` says beforehand what is missing.
        download, nltk.download = nltk.download, lambda *_, **__: False
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                from if_verifiable import ifbench, ifeval  # noqa: F401
                from if_verifiable.ifbench.instructions_registry import INSTRUCTION_DICT as ifbench_kinds
                from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT as ifeval_kinds
        finally:
            nltk.download = download
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'the checkers of instructions need {error.name}, which is not installed: pip install "rvpo-verl'
            '[instructions]"; if-verifiable needs Python 3.11'
        ) from None
    return {**ifeval_kinds, **ifbench_kinds}


def checker(kind: str, arguments: Mapping[str, Any]) -> Any:
    """The library's checker of a constraint.

    The library draws at random what is missing or out of range, so that two answers to one prompt could be held
    to different constraints. That is refused here.

    Raises:
        UserError: there is no such kind, or the arguments are not exactly the checker's own.
    """
    kinds = registry()
    if kind not in kinds:
        near = difflib.get_close_matches(kind, list(kinds), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"no checker for {kind!r}{hint} There are {len(kinds)} kinds, of IFEval and IFBench")
    built = kinds[kind](kind)
    parameters = inspect.signature(built.build_description).parameters.values()
    needed = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise UserError(
            f"{kind}: no {', '.join(missing)} in its kwargs {dict(arguments)!r:.80}, and the checker would draw "
            f"it at random for each answer. Needed: {', '.join(needed)}"
        )
    try:
        with _lock, _without_chance():
            built.build_description(**arguments)
    except Exception as error:
        raise UserError(
            f"{kind}: kwargs {dict(arguments)!r:.80} are not accepted: {type(error).__name__}: {error}"
        ) from None
    for name, value in (built.get_instruction_args() or {}).items():
        if _comparable(value) != _comparable(arguments.get(name)):
            raise UserError(f"{kind}: {name}={arguments.get(name)!r:.80} is not a value that it can check")
    return built


class _NoChance:
    """In place of the module `random`."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("a value is out of range, and the checker would draw another at random")


@contextlib.contextmanager
def _without_chance() -> Iterator[None]:
    """Inside, the library draws nothing at random."""
    modules: list[Any] = [
        sys.modules[f"if_verifiable.{benchmark}.{module}"]
        for benchmark in ("ifeval", "ifbench")
        for module in ("instructions", "instructions_util")
    ]
    originals = [each.random for each in modules]
    for each in modules:
        each.random = _NoChance()
    try:
        yield
    finally:
        for each, original in zip(modules, originals, strict=True):
            each.random = original


def _comparable(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().lower()
    return sorted({_comparable(each) for each in value}) if isinstance(value, list | tuple) else value
