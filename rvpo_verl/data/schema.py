"""Checking rows from outside against a model; what does not fit is one message that says where."""

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator


def _encodable(text: str) -> str:
    # JSON can spell half of a surrogate pair, which no parquet file can hold.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode (a surrogate without its pair)") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
FilledText = Annotated[Text, Field(min_length=1, pattern=r"\S")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Schema(BaseModel):
    """A row, or part of one. Types are not converted into each other; columns beyond the model are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    SHAPE: ClassVar[str] = ""
    """The row as a user would write it, for messages."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        # Parquet fills in a field that other rows have.
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class Message(Schema):
    role: FilledText
    content: Text


Model = TypeVar("Model", bound=Schema)


def check(model: type[Model], row: Any, where: str) -> Model:
    """`row` as a `model`; `where` names its file and number.

    Raises:
        ValueError: it does not fit. The message names `where`, the field, what was found and is accepted.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        given = wrong["input"]
        message = wrong["msg"].removeprefix("Value error, ")
        if not isinstance(row, dict):
            said = f": found {_shown(row)}; expected an object"
        elif wrong["type"] == "missing":
            there = ", ".join(map(str, given)) if isinstance(given, dict) else _shown(given)
            said = f", field {field}: missing or null; found {there or 'nothing'}"
        else:
            said = f", field {field}: found {_shown(given)}; {message[0].lower()}{message[1:]}"
        raise ValueError(f"{where}{said}. Accepted: {model.SHAPE}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
