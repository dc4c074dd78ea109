"""Attributes of files in vector stores, and the filters that search for them."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from services.gateway.validation import type_name
from services.gateway.wire.fields import RequestBody, refusal

MOST_ATTRIBUTES = 16
LONGEST_VALUE = 512


def _scalar(value: Any) -> Any:
    if isinstance(value, str | bool | int | float):
        return value
    message = f"expected one of a string, a number, or a boolean, but got {type_name(value)} instead."
    raise refusal("Invalid type for '{path}': " + message, code="invalid_type")


def _attribute(value: Any) -> Any:
    value = _scalar(value)
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        message = f"Expected a string with maximum length {LONGEST_VALUE}"
        message = f"string too long. {message}, but got a string with length {len(value)} instead."
        raise refusal("Invalid '{path}': " + message, code="string_above_max_length")
    return value


AnyScalar: TypeAlias = Annotated[Any, BeforeValidator(_scalar)]
Attributes: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[Any, BeforeValidator(_attribute)]],
    Field(max_length=MOST_ATTRIBUTES),
]


class Comparison(RequestBody):
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte"]
    key: str
    value: AnyScalar


class Membership(RequestBody):
    type: Literal["in", "nin"]
    key: str
    value: list[AnyScalar]


class Compound(RequestBody):
    type: Literal["and", "or"]
    filters: list["Filter"]


Filter: TypeAlias = Annotated[Comparison | Membership | Compound, Field(discriminator="type")]
Compound.model_rebuild()
