"""What is wrong with a request, in the API's words, from what pydantic found."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import InvalidRequest

KEY = "[key]"  # pydantic's last step on the way to a wrong key of an object
UNION = "|"  # starts the names of our union members, which are no part of a path

EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a decimal",
    "float_parsing": "a decimal",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
BOUNDS = {
    "greater_than_equal": ("below minimum", ">=", "ge", "below_min_value"),
    "less_than_equal": ("above maximum", "<=", "le", "above_max_value"),
}


def invalid_request(problems: Sequence[Mapping[str, Any]], body: Any) -> InvalidRequest:
    """Tell the first of ``problems`` (``ValidationError.errors()``), found in ``body``."""
    problem = problems[0]
    kind, found, context = problem["type"], problem["input"], problem.get("ctx", {})
    loc = problem["loc"]
    path = path_of(loc[:-2] if loc[-1:] == (KEY,) else loc, body)
    if kind == "refused":  # by a validator of ours
        return _refused(path, context)
    if kind == "missing":
        return _error(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")
    if kind == "extra_forbidden":
        return _error(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
    if kind == "union_tag_not_found":
        path += ".type"
        return _error(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")
    if kind == "union_tag_invalid":
        return _not_one_of(path + ".type", found["type"], context["expected_tags"])
    if kind == "literal_error":
        return _not_one_of(path, found, context["expected"])
    if kind in EXPECTED:
        return _wrong_type(path, EXPECTED[kind], found, kind)
    return _out_of_bounds(kind, path, found, context)


def path_of(loc: Sequence[int | str], body: Any) -> str:
    """Name a place in ``body`` as the API does.

    Pydantic puts the member of a union that it chose into the path, which the API does not.

    >>> path_of(("tools", 0, "function", "function", "name"), {"tools": [{"type": "function"}]})
    'tools[0].function.name'
    """
    path, here, is_chosen = "", body, False
    for depth, step in enumerate(loc):
        last = depth == len(loc) - 1
        is_tag = isinstance(here, dict) and step == here.get("type") and not is_chosen and not last
        if is_tag or str(step).startswith(UNION):
            is_chosen = is_tag
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
        here, is_chosen = _inside(here, step), False
    return path.removeprefix(".")


def _inside(here: Any, step: int | str) -> Any:
    try:
        return here[step]
    except (KeyError, IndexError, TypeError):
        return None


def _error(message: str, param: str, code: str | None) -> InvalidRequest:
    return InvalidRequest(message, param=param or None, code=code)


def _refused(path: str, context: Mapping[str, Any]) -> InvalidRequest:
    path = f"{path}{context['at']}".removeprefix(".")
    return _error(context["message"].replace("{path}", path), path, context["code"])


def _not_one_of(path: str, found: Any, expected: str) -> InvalidRequest:
    values = [f"'{value}'" for value in re.findall(r"'([^']*)'", expected)]
    if not isinstance(found, str):
        return _wrong_type(path, "one of " + listed(values, "or"), found)
    message = f"Invalid value: '{found}'. Supported values are: {listed(values, 'and')}."
    return _error(message, path, "invalid_value")


def listed(values: Sequence[str], word: str) -> str:
    """
    >>> listed(["a"], "and"), listed(["a", "b"], "and"), listed(["a", "b", "c"], "or")
    ('a', 'a and b', 'a, b, or c')
    """
    if len(values) < 3:
        return f" {word} ".join(values)
    return f"{', '.join(values[:-1])}, {word} {values[-1]}"


def _wrong_type(path: str, expected: str, found: Any, kind: str = "") -> InvalidRequest:
    if kind == "dict_type" and path.endswith("metadata"):
        expected = "a metadata object"
    if not path:
        return _error(f"Invalid body: expected {expected}, but got {type_name(found)} instead.", "", None)
    message = f"Invalid type for '{path}': expected {expected}, but got {type_name(found)} instead."
    return _error(message, path, "invalid_type")


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _out_of_bounds(kind: str, path: str, found: Any, context: Mapping[str, Any]) -> InvalidRequest:
    if kind in BOUNDS:
        words, sign, bound, code = BOUNDS[kind]
        number = "integer" if isinstance(context[bound], int) else "decimal"
        limit = f"{context[bound]:g}" if number == "decimal" else context[bound]
        message = f"{number} {words} value. Expected a value {sign} {limit}, but got {found} instead."
        return _error(f"Invalid '{path}': {message}", path, f"{number}_{code}")
    if kind == "string_pattern_mismatch":
        message = f"Expected a string that matches the pattern '{context['pattern']}'."
        return _error(f"Invalid '{path}': string does not match pattern. {message}", path, "invalid_value")
    if kind in ("string_too_long", "too_long"):
        return _too_long(kind, path, found, context)
    if kind in ("string_too_short", "too_short"):
        noun, article = ("string", "a") if kind == "string_too_short" else ("array", "an")
        message = f"Expected {article} {noun} with minimum length {context['min_length']}"
        message = f"Invalid '{path}': empty {noun}. {message}, but got an empty {noun} instead."
        return _error(message, path, f"empty_{noun}")
    return _error(f"Invalid '{path}'.", path, "invalid_value")


def _too_long(kind: str, path: str, found: Any, context: Mapping[str, Any]) -> InvalidRequest:
    most = context["max_length"]
    if isinstance(found, dict):
        message = (
            f"Invalid '{path}': too many properties. Expected an object with at most {most} properties, "
            f"but got an object with {len(found)} properties instead."
        )
        return _error(message, path, "object_above_max_properties")
    noun, article = ("string", "a") if kind == "string_too_long" else ("array", "an")
    message = (
        f"Invalid '{path}': {noun} too long. Expected {article} {noun} with maximum length {most}, "
        f"but got {article} {noun} with length {len(found)} instead."
    )
    return _error(message, path, f"{noun}_above_max_length")
