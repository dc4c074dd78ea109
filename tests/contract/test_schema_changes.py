"""Which changes of a schema other back ends, and replicas of another version, survive."""

from copy import deepcopy
from typing import Any

import pytest
from pydantic import BaseModel

from deploy.contracts.changes import breaking_changes
from shared.runs.model import Json

OLD: Json = {
    "type": "object",
    "title": "Call",
    "properties": {
        "id": {"type": "string"},
        "kind": {"type": "string", "enum": ["code", "function"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    },
    "required": ["id", "kind"],
    "$defs": {"Part": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
}


def changed(path: str, value: Any) -> Json:
    """OLD with ``value`` at ``path``; without what is there if ``value`` is ``...``."""
    new = deepcopy(OLD)
    *folders, name = path.split("/")
    place = new
    for folder in folders:
        place = place.setdefault(folder, {})
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return new


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "ToolCall"),
        ("properties/id/description", "drawn by the orchestrator"),
        ("properties/attempt", {"type": "integer", "default": 1}),
        ("$defs/Part/properties/language", {"type": "string"}),
        ("$defs/Image", {"type": "object"}),
    ],
)
def test_new_words_and_new_optional_fields_are_harmless(path: str, value: Any) -> None:
    assert breaking_changes(OLD, changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("properties/note", ..., ".note is gone"),
        ("$defs/Part", ..., "#.Part is gone"),
        ("$defs/Part/properties/text", ..., "#.Part.text is gone"),
        ("properties/id/type", "integer", ".id: type was 'string', is 'integer'"),
        ("properties/id/pattern", "^call_", ".id: pattern was not there, is '^call_'"),
        ("required", ["id", "kind", "note"], ".note must be there now"),
        ("required", ["id"], ".kind need not be there any more"),
        ("properties/kind/enum", ["code"], ".kind: enum was ['code', 'function'], is ['code']"),
        ("properties/note/default", "", ".note: default was None, is ''"),
        ("properties/note/anyOf", [{"type": "string"}], ".note/anyOf: was 2 variants, is 1"),
        ("properties/parts/items", {"type": "string"}, ".parts/items: $ref was '#/$defs/Part', is not there"),
        ("additionalProperties", False, ": additionalProperties was not there, is False"),
    ],
)
def test_everything_else_is_a_breach(path: str, value: Any, problem: str) -> None:
    assert problem in breaking_changes(OLD, changed(path, value))


def test_a_wider_enum_is_a_breach_too() -> None:
    """A replica of the version before would set the record aside as unreadable."""
    assert breaking_changes(OLD, changed("properties/kind/enum", ["code", "function", "search"]))


def test_what_stays_the_same_breaks_nothing() -> None:
    assert breaking_changes(OLD, OLD) == []


class One(BaseModel):
    id: str
    state: str | None = None


class OneMore(One):
    more: dict[str, int] = {}


class Stricter(One):
    owner: str


def test_models_are_judged_as_they_are_written() -> None:
    schemas = [model.model_json_schema() for model in (One, OneMore, Stricter)]
    assert breaking_changes(schemas[0], schemas[1]) == []
    assert breaking_changes(schemas[1], schemas[0]) == [".more is gone"]
    assert breaking_changes(schemas[0], schemas[2]) == [".owner must be there now"]
