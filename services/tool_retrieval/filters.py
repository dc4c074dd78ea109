"""The API's filters on attributes. Pure.

``{"type": "eq"|"ne"|"gt"|"gte"|"lt"|"lte"|"in"|"nin", "key", "value"}``, and
``{"type": "and"|"or", "filters"}``.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from shared.runs.model import Json

ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
DEEPEST = 20


class FilterError(ValueError):
    """It is no filter; says why."""


def matches(filter_: Json, attributes: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether a file with these attributes passes.

    A file without the key passes ``ne`` and ``nin`` only; values of different types are never equal, and are
    in no order.

    Raises:
        FilterError: somewhere in it is something else than a filter.
    """
    kind = filter_.get("type")
    if depth > DEEPEST:
        raise FilterError("The filter is nested too deeply.")
    if kind in ("and", "or"):
        parts = filter_.get("filters")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise FilterError(f"A filter of type {kind!r} needs a list of filters.")
        results = [matches(part, attributes, depth + 1) for part in parts]
        return all(results) if kind == "and" else any(results)
    key, value = filter_.get("key"), filter_.get("value")
    if not isinstance(key, str):
        raise FilterError("A filter needs the key that it compares.")
    return _compare(str(kind), attributes.get(key), value)


def _compare(kind: str, found: Any, value: Any) -> bool:
    if kind in ("in", "nin"):
        if not isinstance(value, list):
            raise FilterError(f"A filter of type {kind!r} needs a list of values.")
        return any(_equal(found, each) for each in value) == (kind == "in")
    if kind in ("eq", "ne"):
        return _equal(found, value) == (kind == "eq")
    if kind not in ORDERED:
        raise FilterError(f"There is no filter of type {kind!r}.")
    return _rank(found) is not None and _rank(found) == _rank(value) and ORDERED[kind](found, value)


def _equal(found: Any, value: Any) -> bool:
    return _rank(found) == _rank(value) and bool(found == value)


def _rank(value: Any) -> str | None:
    """Return the kind of a value; a boolean is no number here."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else None
