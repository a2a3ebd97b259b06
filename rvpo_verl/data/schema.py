"""Validates rows of files against a model, with one message that names file, row and field."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from rvpo_verl.errors import UserError
from rvpo_verl.files import read_rows


def _encodable(text: str) -> str:
    # JSON can contain half of a surrogate pair, which parquet cannot store.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode (a surrogate without its pair)") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
FilledText = Annotated[Text, Field(min_length=1, pattern=r"\S")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Schema(BaseModel):
    """A row, or part of one. Types are not converted; columns that the model does not have are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    SHAPE: ClassVar[str] = ""
    """The row as a user writes it, for messages."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        # In parquet, a field that only other rows have is null.
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class Message(Schema):
    role: FilledText
    content: Text


Model = TypeVar("Model", bound=Schema)


def check(model: type[Model], row: Any, where: str) -> Model:
    """`row` as a `model`; `where` names its file and number.

    Raises:
        UserError: it does not fit. The message has `where`, the field, what was found and what is accepted.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        given = wrong["input"]
        if not isinstance(row, dict):
            problem = f": found {_shorten(row)}; expected an object"
        elif wrong["type"] == "missing":
            found = ", ".join(map(str, given)) if isinstance(given, dict) else _shorten(given)
            problem = f", field {field}: missing or null; found {found or 'nothing'}"
        else:
            message = wrong["msg"].removeprefix("Value error, ")
            problem = f", field {field}: found {_shorten(given)}; {message[0].lower()}{message[1:]}"
        raise UserError(f"{where}{problem}. Accepted: {model.SHAPE}") from None


def check_file(model: type[Model], path: Path) -> list[Model]:
    """Every row of a file as a `model`.

    Raises:
        UserError: no rows, or one that does not fit.
    """
    rows = [check(model, row, f"{path}, row {number}") for number, row in read_rows(path)]
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
