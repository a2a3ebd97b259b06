"""Running a hook after an import, and replacing a function of verl, once and only where its layout is known."""

import functools
import inspect
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import wrapt

SUPPORTED = ">=0.7.1,<0.10"


class UnsupportedVerlError(ImportError):
    """The installed verl does not look like a version that this plugin knows."""


@dataclass
class Attachment:
    seam: str
    """Module of verl."""
    state: str
    """waiting (verl has not imported it), attached, or failed."""
    detail: str = ""


_ATTACHMENTS: dict[tuple[str, str], Attachment] = {}


def report() -> list[Attachment]:
    """What was attached to what, in this process, so far."""
    return list(_ATTACHMENTS.values())


def verl_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("verl")


def require_supported_version() -> None:
    """
    Raises:
        UnsupportedVerlError: the installed verl is outside of the supported range.
    """
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(SUPPORTED).contains(verl_version(), prereleases=True):
        raise UnsupportedVerlError(
            f"verl {verl_version()} is installed; this version of rvpo-verl supports verl{SUPPORTED}. "
            f'Install a supported one (pip install "verl{SUPPORTED}") or a newer rvpo-verl.'
        )


def check_version(verl: ModuleType) -> str:
    require_supported_version()
    return f"verl {verl_version()}"


def on_import(module: str, hook: str) -> None:
    """Runs a hook, which says what it did, as soon as `module` is imported; at once if it already is.

    Args:
        hook: `package.module:function`, imported then. It takes the module.
    """
    key = module, hook
    if key in _ATTACHMENTS:
        return
    attachment = _ATTACHMENTS[key] = Attachment(module, "waiting")

    def run(loaded: ModuleType) -> None:
        attachment.state = "failed"
        try:
            attachment.detail = pkgutil.resolve_name(hook)(loaded)
        except Exception as error:
            attachment.detail = f"{type(error).__name__}: {error}"
            # verl logs a plugin that fails to load at DEBUG and trains on without it.
            sys.stderr.write(f"rvpo_verl could not attach to verl ({module}): {attachment.detail}\n")
            if any("rvpo" in argument for argument in sys.argv[1:]):
                raise SystemExit("rvpo_verl: not training, because this command asks for rvpo") from None
            raise
        attachment.state = "attached"

    wrapt.register_post_import_hook(run, module)


def seam(owner: Any, name: str, parameters: tuple[str, ...]) -> Callable[..., Any]:
    """`owner.name`, if it takes at least `parameters`.

    Raises:
        UnsupportedVerlError: it does not exist, or takes other parameters.
    """
    where = f"{getattr(owner, '__module__', '')}.{owner.__name__}.{name}".lstrip(".")
    function: Callable[..., Any] | None = getattr(owner, name, None)
    found = tuple(inspect.signature(function).parameters) if callable(function) else None
    if function is None or found is None or not set(parameters) <= set(found):
        there = "nothing" if found is None else f"({', '.join(found)})"
        raise UnsupportedVerlError(
            f"verl {verl_version()} has an unknown layout: expected {where}({', '.join(parameters)}), found "
            f"{there}. rvpo-verl supports released verl{SUPPORTED}"
        )
    return function


def wrap(owner: Any, name: str, parameters: tuple[str, ...], wrapper: Callable[..., Any]) -> None:
    """Replaces `owner.name` by a function that calls `wrapper(original, *args, **kwargs)`, once.

    A plain function on purpose: cloudpickle sends it to Ray workers by its name, where it is wrapped too.
    """
    original = seam(owner, name, parameters)
    if getattr(original, "_wrapped_by_rvpo", False):
        return

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    vars(wrapped)["_wrapped_by_rvpo"] = True
    setattr(owner, name, wrapped)
