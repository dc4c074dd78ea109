"""A frame as it came, parsed without a model: this is the one place where every token passes."""

import json
from typing import NamedTuple

from shared.runs.model import Json


class Arrived(NamedTuple):
    """``shared.events.Frame`` without its addressees. One that merges deltas ``n`` to ``upto`` has both.

    A ``whole`` one holds every delta behind its event up to ``upto``.
    """

    run_id: str
    epoch: int
    seq: int
    n: int
    upto: int
    event: str
    data: Json
    source: str = ""
    whole: bool = False


class Unreadable(ValueError):
    """The record is no frame."""


def parse(value: bytes | None) -> tuple[Arrived, list[str]]:
    """Return the frame and the streams it is for.

    Raises:
        Unreadable: never to be read; skip it.
    """
    try:
        body = json.loads(value or b"")
        frame = Arrived(
            body["run_id"],
            body["epoch"],
            body["seq"],
            n := body.get("n", 0),
            n,
            body["event"],
            body["data"],
            body.get("source", ""),
            body.get("whole") is True,
        )
        streams = body["streams"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error
    numbers = (frame.epoch, frame.seq, frame.n)
    if not all(type(number) is int for number in numbers):
        raise Unreadable(f"not numbers: {numbers}")
    texts = isinstance(frame.event, str) and isinstance(frame.source, str)
    if not (texts and isinstance(frame.data, dict) and isinstance(streams, list)):
        raise Unreadable("fields of the wrong type")
    if frame.n and not (isinstance(frame.data.get("id"), str) and isinstance(frame.data.get("delta"), dict)):
        raise Unreadable("a delta without its object")
    return frame, streams
