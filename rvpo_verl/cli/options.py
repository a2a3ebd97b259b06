"""Options that several commands have."""

import contextlib
import json
from collections.abc import Collection, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rvpo_verl.errors import UserError

JsonFile = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="File for the report.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in place of tables.")]


class Mode(str, Enum):
    """Of the rewards for tool calling."""

    strict = "strict"
    robust = "robust"


def parse_json_object(option: str, text: str) -> dict[str, Any]:
    """The value of an option that takes a JSON object.

    Raises:
        UserError: it is not one.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{option} {text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{option} {text!r}: expected a JSON object, {{NAME: VALUE}}")
    return value


@contextlib.contextmanager
def optional_packages(names: Collection[str], purpose: str, installation: str) -> Iterator[None]:
    """Raises a UserError if one of the packages `names` is needed and not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in names:
            raise
        raise UserError(f"{purpose} needs {error.name}: {installation}") from None
