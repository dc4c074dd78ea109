"""What the request models have in common: closed bodies, refusals, metadata, response formats."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from shared.runs.model import Json

LONGEST_TEXT = 256_000
MOST_METADATA = 16


class RequestBody(BaseModel):
    """A closed object: no unknown fields, no values of a similar type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self) -> Json:
        """The fields that the request names, as far as they do not say null."""
        return {name: value for name, value in self if name in self.model_fields_set and value is not None}


def refusal(message: str, *, code: str | None = None, at: str = "") -> PydanticCustomError:
    """Return what a validator raises; ``{path}`` in ``message`` is the place, with ``at`` behind it."""
    return PydanticCustomError("refused", "{message}", {"message": message, "code": code, "at": at})


Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=MOST_METADATA),
]


def _as_text(value: Any) -> Any:
    """v1 took numbers and truth values, and wrote them the Python way."""
    if not isinstance(value, dict):
        return value
    return {
        name: str(member) if isinstance(member, bool | int | float) else member
        for name, member in value.items()
    }


MetadataV1: TypeAlias = Annotated[Metadata, BeforeValidator(_as_text)]

Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Text: TypeAlias = Annotated[str, Field(max_length=LONGEST_TEXT)]
ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextFormat(RequestBody):
    type: Literal["text"]


class JsonObjectFormat(RequestBody):
    type: Literal["json_object"]


class JsonSchema(RequestBody):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(RequestBody):
    type: Literal["json_schema"]
    json_schema: JsonSchema


FormatObject: TypeAlias = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


def _kind(value: Any) -> str:
    return "|word" if isinstance(value, str) else "|object"


ResponseFormat: TypeAlias = Annotated[
    Annotated[Literal["auto", "none"], Tag("|word")] | Annotated[FormatObject, Tag("|object")],
    Discriminator(_kind),
]


def stored_format(value: ResponseFormat) -> Any:
    """The format as it was sent: a word, or an object without what was left out."""
    return value if isinstance(value, str) else value.model_dump(by_alias=True, exclude_unset=True)
