"""Chunks of a chat completion, as JSON: what in them is of use.

Read as they are, not as the client's models: building those took a fifth of this service's CPU.
"""

from typing import Any

from services.run_orchestrator.replies import CallPiece, FaultyReply, Piece, Text, storable
from shared.runs.model import Json, Usage


def pieces(chunk: Json) -> list[Piece]:
    """Raises FaultyReply: the chunk is none."""
    delta = _dict(_choice(chunk).get("delta"))
    said = (_text(delta.get(field)) for field in ("content", "refusal"))  # a refusal is an answer, too
    found: list[Piece] = [Text(text) for text in said if text]
    for call in _list(delta.get("tool_calls")):
        function = _dict(call).get("function")
        if function is not None:
            name, arguments = (_text(_dict(function).get(part)) for part in ("name", "arguments"))
            found.append(CallPiece(_number(_dict(call).get("index")), name, arguments))
    return found


def reason(chunk: Json) -> str | None:
    """Why the reply ends here, if it does. Raises FaultyReply."""
    return _text(_choice(chunk).get("finish_reason")) or None


def usage(chunk: Json) -> Usage | None:
    """Raises FaultyReply."""
    said = _dict(_dict(chunk).get("usage"))
    if not said:
        return None
    asked, written = (_number(said.get(f"{kind}_tokens")) for kind in ("prompt", "completion"))
    return Usage(prompt_tokens=asked, completion_tokens=written)


def _choice(chunk: Json) -> Json:
    choices = _list(_dict(chunk).get("choices"))
    return _dict(choices[0]) if choices else {}


def _dict(value: Any) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FaultyReply("a chunk of the reply is not in the protocol's form")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise FaultyReply("a chunk of the reply is not in the protocol's form")
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FaultyReply("a chunk of the reply is not in the protocol's form")
    return storable(value)


def _number(value: Any) -> int:
    """Some servers leave the index of the only call out."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultyReply("a chunk of the reply is not in the protocol's form")
    return int(value)
