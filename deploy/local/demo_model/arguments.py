"""Filling a function's JSON schema from the question."""

import re
from dataclasses import dataclass
from typing import Self

from pydantic import JsonValue

from deploy.local.demo_model.request import Schema

_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)")
_CAPITALISED = re.compile(r"[A-Z][\w'\u2019-]*\w(?:[ -][A-Z][\w'\u2019-]*\w)*(?:, ?[A-Z]{2}\b)?")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n]\s*)$")
_OPENING_WORDS = (
    "a an and are call can check compare could do does find for get give hello hey hi how if in is it"
    " look my of or please show tell thanks the then there this to use what what's when where which who why"
    " will would you"
)
_OPENERS = frozenset(_OPENING_WORDS.split())
# Properties of these names take the question itself when it has nothing in quotes.
_FREE_TEXT_NAMES = "query queries question text message prompt input content body code expression"
_FREE_TEXT = frozenset(_FREE_TEXT_NAMES.split())
_MOST_DEPTH = 8  # a schema may refer to itself


@dataclass(frozen=True)
class Facts:
    """What the question offers for arguments."""

    question: str
    quoted: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, question: str) -> Self:
        quoted = tuple(next(filter(None, match.groups())) for match in _QUOTED.finditer(question))
        numbers = tuple(_NUMBER.findall(question))
        return cls(question.strip(), quoted, _names(_QUOTED.sub(" ", question)), numbers)

    @property
    def strings(self) -> tuple[str, ...]:
        return self.quoted or self.names

    def mentions(self, value: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.question, re.IGNORECASE) is not None


def _names(text: str) -> tuple[str, ...]:
    inside: dict[str, None] = {}
    leading: dict[str, None] = {}
    for match in _CAPITALISED.finditer(text):
        words = match[0].split(" ")
        starts_sentence = _SENTENCE_START.search(text[: match.start()]) is not None
        while words and words[0].lower() in _OPENERS:
            words = words[1:]
            starts_sentence = False
        if words:
            (leading if starts_sentence and len(words) == 1 else inside)[" ".join(words)] = None
    # The first word of a sentence is capitalised anyway: it is a name only for want of others.
    return tuple(inside or leading)


class Filler:
    """Fills one schema; strings and numbers of the question are used up in their order."""

    def __init__(self, facts: Facts, schema: Schema) -> None:
        self._facts = facts
        self._root = schema
        self._strings = list(facts.strings)
        self._numbers = list(facts.numbers)

    def object(self) -> dict[str, JsonValue]:
        value = self._value("", self._root | {"type": "object"}, required=True, depth=0)
        return value if isinstance(value, dict) else {}

    def _value(self, name: str, schema: Schema, *, required: bool, depth: int) -> JsonValue:
        """Return a value, or None where an optional property finds nothing in the question."""
        schema, nullable = self._plain(schema)
        required = required and not nullable
        if "const" in schema:
            return schema["const"]
        options = schema.get("enum")
        if isinstance(options, list):
            named = (option for option in options if self._facts.mentions(str(option)))
            return next(named, options[0] if required and options else None)
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth) if required and depth < _MOST_DEPTH else None
        if kind == "array":
            return self._array(name, schema, required=required, depth=depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer", required=required)
        if kind == "boolean":
            return True if required or self._facts.mentions(name) else None
        return self._string(name, required=required)

    def _plain(self, schema: Schema) -> tuple[Schema, bool]:
        """Follow references and take the first alternative; tell whether null is allowed."""
        nullable = False
        for _ in range(_MOST_DEPTH):
            reference, kinds = schema.get("$ref"), schema.get("type")
            if isinstance(reference, str):
                schema = self._definition(reference)
            elif isinstance(kinds, list):
                nullable = nullable or "null" in kinds
                schema = schema | {"type": next((kind for kind in kinds if kind != "null"), "null")}
            elif isinstance(alternatives := schema.get("anyOf", schema.get("oneOf")), list):
                plain = [one for one in alternatives if isinstance(one, dict)]
                nullable = nullable or {"type": "null"} in plain
                schema = next((one for one in plain if one.get("type") != "null"), {})
            else:
                break
        return schema, nullable

    def _definition(self, reference: str) -> Schema:
        found: JsonValue = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(key) if isinstance(found, dict) and key else found
        return found if isinstance(found, dict) else {}

    def _object(self, schema: Schema, depth: int) -> dict[str, JsonValue]:
        properties, wanted = schema.get("properties"), schema.get("required")
        required = set(wanted) if isinstance(wanted, list) else set()
        filled: dict[str, JsonValue] = {}
        if not isinstance(properties, dict):
            return filled
        # Required properties choose first, then the others from what is left.
        for name in sorted(properties, key=lambda name: name not in required):
            of_property = properties[name]
            plain = of_property if isinstance(of_property, dict) else {}
            value = self._value(name, plain, required=name in required, depth=depth + 1)
            if value is not None or name in required:
                filled[name] = value
        return {name: filled[name] for name in properties if name in filled}

    def _array(self, name: str, schema: Schema, *, required: bool, depth: int) -> JsonValue:
        items = schema.get("items")
        of_item, _ = self._plain(items if isinstance(items, dict) else {})
        kind = of_item.get("type", "string")
        source = {"string": self._strings, "number": self._numbers, "integer": self._numbers}
        wanted = len(source.get(str(kind), ())) if "enum" not in of_item and name not in _FREE_TEXT else 0
        if not required and not wanted:
            return None
        values = [self._value(name, of_item, required=True, depth=depth + 1) for _ in range(max(1, wanted))]
        return [value for value in values if value is not None]

    def _number(self, schema: Schema, *, whole: bool, required: bool) -> int | float | None:
        if self._numbers:
            number = float(self._numbers.pop(0))
        elif required:
            lowest = schema.get("minimum", 1)
            number = float(lowest) if isinstance(lowest, int | float) else 1.0
        else:
            return None
        return int(number) if whole or number.is_integer() else number

    def _string(self, name: str, *, required: bool) -> str | None:
        if name.lower() in _FREE_TEXT and not self._facts.quoted:
            return self._facts.question if required else None
        if self._strings:
            return self._strings.pop(0)
        if not required:
            return None
        return next(iter(self._facts.strings), self._facts.question or name)
