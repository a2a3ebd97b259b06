"""Finding a reward function: by the name of an entry point, in a module, or in a file."""

import difflib
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rvpo_verl.errors import ConfigError

GROUP = "rvpo_verl.rewards"
CONTRACT = (
    "A reward is a function, sync or async, that names the arguments it wants (response, messages, ground_truth, "
    "...) and returns a float, None where it does not apply, or a dict of those. It is given as the name of an "
    f"entry point (group {GROUP!r}), as package.module:function, or as path/to/file.py:function"
)


@dataclass(frozen=True)
class RewardFunction:
    function: Callable[..., Any]
    origin: str
    """Where it was found, for people."""


@dataclass(frozen=True)
class InstalledReward:
    """An entry point, not loaded."""

    name: str
    distribution: str
    """Name and version."""
    target: str
    """`package.module:function`."""


def available() -> list[InstalledReward]:
    """Every reward that an installed distribution offers by name, without importing any."""
    return [InstalledReward(point.name, _distribution(point), point.value) for point in _points()]


def resolve(name_or_path: str) -> RewardFunction:
    """Loads a reward function.

    Raises:
        ConfigError: there is none, it cannot be imported, or it is not callable.
    """
    place, colon, attribute = name_or_path.removeprefix("file://").removeprefix("pkg://").rpartition(":")
    if "://" in name_or_path and not colon:
        raise ConfigError(f"{name_or_path!r} names no function: add :FUNCTION. {CONTRACT}")
    if not colon:
        function, origin = _from_entry_point(name_or_path)
    elif is_file(name_or_path):
        function, origin = _from_file(place, attribute)
    else:
        function, origin = _from_module(place, attribute)
    if not callable(function):
        raise ConfigError(f"{name_or_path!r} is {function!r} ({origin}), which cannot be called. {CONTRACT}")
    return RewardFunction(function, origin)


def is_file(name_or_path: str) -> bool:
    """Whether it is a function in a file, rather than in a module or behind an entry point."""
    place, colon, _ = name_or_path.removeprefix("file://").rpartition(":")
    return (
        bool(colon)
        and not name_or_path.startswith("pkg://")
        and (place.endswith(".py") or "/" in place or "\\" in place)
    )


def absolute(path_and_function: str) -> str:
    """`path/to/file.py:function` with the path from the root."""
    path, _, function = path_and_function.removeprefix("file://").rpartition(":")
    return f"{Path(path).expanduser().resolve()}:{function}"


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, _distribution(point)))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _from_entry_point(name: str) -> tuple[Any, str]:
    points = _points()
    found = [point for point in points if point.name == name]
    if not found:
        raise ConfigError(
            f"no reward {name!r}: tried the entry points of group {GROUP!r}"
            f"{_near(name, [point.name for point in points])}. {CONTRACT}. "
            f"Installed: {', '.join(dict.fromkeys(point.name for point in points)) or 'none'}"
        )
    if len(found) > 1:
        owners = " and ".join(f"{_distribution(point)} ({point.value})" for point in found)
        raise ConfigError(
            f"reward {name!r} is offered by {owners}: uninstall one of them, or write the one you mean as "
            "package.module:function"
        )
    (point,) = found
    origin = f"{_distribution(point)}, {point.value}"
    module = _import(point.module, f"reward {name!r} of {origin}")
    return _attribute(module, point.attr, f"reward {name!r} of {origin}"), origin


def _from_module(module: str, attribute: str) -> tuple[Any, str]:
    origin = f"{module}:{attribute}"
    return _attribute(_import(module, f"reward {origin!r}"), attribute, f"reward {origin!r}"), origin


def _from_file(path: str, attribute: str) -> tuple[Any, str]:
    file = Path(path).expanduser().resolve()
    origin = f"{file}:{attribute}"
    if not file.is_file():
        raise ConfigError(f"reward '{path}:{attribute}': there is no file {file}. {CONTRACT}")
    # One name for one file, in every process: what it defines can be pickled, and is loaded once.
    name = f"rvpo_verl_reward_file_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ConfigError(f"reward {origin!r}: {file} is not a Python file; its name must end in .py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if not isinstance(error, Exception):
                raise
            raise _import_failed(f"reward {origin!r}", str(file), error) from error
    return _attribute(sys.modules[name], attribute, f"reward {origin!r}"), origin


def _import(module: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise _import_failed(what, module, error) from error


def _import_failed(what: str, module: str, error: Exception) -> ConfigError:
    where = ""
    if isinstance(error, ModuleNotFoundError):
        where = f". Modules are looked for among the installed packages and in the current directory, {Path.cwd()}"
    return ConfigError(f"{what}: importing {module} failed with {type(error).__name__}: {error}{where}")


def _attribute(module: ModuleType, attribute: str, what: str) -> Any:
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        functions = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        raise ConfigError(
            f"{what}: {module.__name__} has no {attribute!r}{_near(attribute, functions)}. {CONTRACT}"
        ) from None


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
