"""What a new version of a schema breaks of the old one.

Both ways count: during an upgrade, and for other back ends at any time, old readers meet new
records and new readers old ones. So a field may be added if it may be left out, and words may
change. Nothing else.
"""

from collections.abc import Iterator
from typing import Any

from shared.runs.model import Json

WORDS = {"$id", "$schema", "description", "examples", "title"}
OF_FIELDS = {"properties", "$defs"}  # keyed by name: a name more is harmless
MISSING = object()


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Return one line for each change that is more than a new optional field; where it is, then what.

    >>> breaking_changes({"type": "string"}, {"type": "integer"})
    [": type was 'string', is 'integer'"]
    """
    return list(_schema(old, new, ""))


def _schema(old: Any, new: Any, where: str) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{where}: was {_short(old)}, is {_short(new)}"
        return
    for key in sorted((old.keys() | new.keys()) - WORDS):
        before, after = old.get(key, MISSING), new.get(key, MISSING)
        if key in OF_FIELDS:
            yield from _fields(old.get(key, {}), new.get(key, {}), where if key == "properties" else "#")
        elif key == "required":
            yield from _required(old, new, where)
        elif key in ("anyOf", "allOf", "oneOf", "prefixItems"):
            yield from _variants(old.get(key, []), new.get(key, []), f"{where}/{key}")
        elif (
            key in ("items", "additionalProperties") and isinstance(before, dict) and isinstance(after, dict)
        ):
            yield from _schema(before, after, f"{where}/{key}")
        elif before != after:
            yield f"{where}: {key} was {_short(before)}, is {_short(after)}"


def _fields(old: Json, new: Json, where: str) -> Iterator[str]:
    for name in old:
        if name in new:
            yield from _schema(old[name], new[name], f"{where}.{name}")
        else:
            yield f"{where}.{name} is gone"


def _required(old: Json, new: Json, where: str) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield f"{where}.{name} must be there now"
    for name in sorted((before - after) & new.get("properties", {}).keys()):
        yield f"{where}.{name} need not be there any more"


def _variants(old: list[Any], new: list[Any], where: str) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{where}: was {len(old)} variants, is {len(new)}"
        return
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        yield from _schema(before, after, f"{where}[{place}]")


def _short(value: Any) -> str:
    return "not there" if value is MISSING else repr(value)[:80]
