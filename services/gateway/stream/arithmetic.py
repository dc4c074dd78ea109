"""Adding deltas up the way the clients' libraries do, and telling what is missing from a sum.

Strings concatenate, lists merge by the ``index`` of their entries, ``type`` overwrites, null
adds nothing. Numbers are not compared: no object of the stream is told in parts of a number.
"""

from typing import Any, TypeAlias

from shared.runs.model import Json

# Objects by name, lists as objects by index, strings as lists of pieces. The first piece may be a number:
# so many characters, which nobody here remembers.
Sum: TypeAlias = dict[Any, Any]


class Differs(Exception):
    """What was sent is not the beginning of what should have been."""


def add(total: Sum, delta: Json) -> None:
    for key, value in delta.items():
        if value is None or key in ("index", "type"):
            continue
        if isinstance(value, str):
            total.setdefault(key, []).append(value)
        elif isinstance(value, dict):
            add(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            entries = total.setdefault(key, {})
            for position, entry in enumerate(entry for entry in value if isinstance(entry, dict)):
                add(entries.setdefault(entry.get("index", position), {}), entry)


def text(total: Sum, key: str, final: str = "") -> str:
    """What was sent of the string ``key``; what nobody remembers is taken from ``final``."""
    pieces = total.get(key, ())
    if pieces and isinstance(pieces[0], int):
        return final[: pieces[0]] + "".join(pieces[1:])
    return "".join(pieces)


def lengths(total: Sum, path: str = "") -> dict[str, int]:
    """How long each string is, by where it is.

    >>> lengths({"content": {0: {"text": {"value": [40, "a", "b"]}}}})
    {'content.0.text.value': 42}
    """
    found: dict[str, int] = {}
    for key, value in total.items():
        here = f"{path}{key}"
        if isinstance(value, dict):
            found |= lengths(value, f"{here}.")
        elif length := sum(piece if isinstance(piece, int) else len(piece) for piece in value):
            found[here] = length
    return found


def of_lengths(known: dict[str, int]) -> Sum:
    """The reverse of ``lengths``; what makes no sense is left out."""
    total: Sum = {}
    for path, length in known.items():
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        inner = total
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                break
        else:
            inner.setdefault(last, [length])
    return total


def missing(total: Sum, final: Json) -> Json:
    """Return the delta that makes ``total`` add up to ``final``; empty if it does already.

    Raises:
        Differs: no delta can.
    """
    rest: Json = {}
    for key, value in final.items():
        if isinstance(value, str) and key != "type":
            sent = text(total, key, value)
            if not value.startswith(sent):
                raise Differs(key)
            if len(value) > len(sent):
                rest[key] = value[len(sent) :]
        elif isinstance(value, dict):
            if part := missing(total.get(key, {}), value):
                rest[key] = part
        elif isinstance(value, list) and (entries := _missing_entries(total.get(key, {}), value)):
            rest[key] = entries
    return {"type": final["type"], **rest} if rest and "type" in final else rest


def _missing_entries(total: Sum, final: list[Json]) -> list[Json]:
    if any(index >= len(final) for index in total):
        raise Differs("more entries than there should be")
    entries = []
    for index, entry in enumerate(final):
        rest = missing(total[index], entry) if index in total else whole(entry)
        if rest:
            entries.append({"index": index, **rest})
    return entries


def whole(entry: Json) -> Json:
    """An entry nothing of which was sent: itself, with an index at each entry of its lists."""
    return {key: _indexed(value) for key, value in entry.items() if key != "index"}


def _indexed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _indexed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [
            {"index": index, **whole(entry)} if isinstance(entry, dict) else entry
            for index, entry in enumerate(value)
        ]
    return value
