"""Models that refuse what they do not know, and one message for all that is wrong with a value.

`parse` turns all complaints into one `ConfigError` that names the full key, the value given and what is accepted.
"""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from rvpo_verl.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


BRANCHES = ("<number>", "<schedule>")
"""Tags of a value that may be either: pydantic puts them into the path of a complaint, where no user wrote them."""
Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], values: Any, path: str) -> Model:
    """Validates `values`, found at configuration key `path`.

    Raises:
        ConfigError: with one line for each complaint.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}={values!r}: expected a mapping with keys {', '.join(_keys(model))}")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = dict.fromkeys(_complaint(model, complaint, path) for complaint in error.errors())
        raise ConfigError("\n".join(lines)) from None


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _complaint(model: type[BaseModel], complaint: Any, path: str) -> str:
    written = [str(part) for part in complaint["loc"] if part not in BRANCHES]
    key = ".".join([path, *written])
    given = complaint["input"]
    if complaint["type"] == "extra_forbidden":
        accepted = _keys(_owner(model, written[:-1]))
        near = difflib.get_close_matches(written[-1], accepted, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key}={given!r}: unknown key; accepted: {', '.join(accepted)}{hint}"
    message = complaint["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if isinstance(given, Mapping) else f"{key}={given!r}: {message}"


def _owner(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    """The model whose keys stand at `location`."""
    for part in location:  # names in a mapping, indices in a list and branches of a union are no fields
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in the annotation of a field: `RewardSpec` in `dict[RewardName, RewardSpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
