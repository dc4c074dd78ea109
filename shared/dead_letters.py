"""Dead letters: records that can never be processed, kept as they came, with the reason in headers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from aiokafka import ConsumerRecord

Reason: TypeAlias = Literal["malformed", "poisonous"]  # cannot be read; fails each time it is handled
Headers: TypeAlias = list[tuple[str, bytes]]

PREFIX = "dead_"  # of our headers; the record's own are kept beside them
MOST_BYTES = 900_000  # of a value, so that the headers fit beside it
MOST_WORDS = 1_000  # of an error


@dataclass(frozen=True)
class Cause:
    reason: Reason
    error: str
    attempts: int


@dataclass(frozen=True)
class DeadLetter:
    """``cut`` is how many bytes the value had if it was too long to be kept whole, else 0."""

    topic: str  # where it came from, with the deployment's prefix
    partition: int
    offset: int
    cause: Cause
    at: str
    key: bytes | None
    value: bytes
    headers: Headers  # the record's own
    cut: int = 0
    replayed: bool = False


def headers_of(record: ConsumerRecord, cause: Cause, now: float) -> Headers:
    """The headers under which ``record`` is set aside."""
    value = record.value or b""
    said = {
        "reason": cause.reason,
        "error": cause.error[:MOST_WORDS],
        "attempts": str(cause.attempts),
        "at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        **_place(record.topic, record.partition, record.offset),
    }
    if len(value) > MOST_BYTES:
        said["cut"] = str(len(value))
    return [*_foreign(record.headers), *_named(said)]


def replayed_headers(letter: DeadLetter, now: float) -> Headers:
    """The headers of the empty record that says: this letter was put back on its topic."""
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return _named({"replayed": at, **_place(letter.topic, letter.partition, letter.offset)})


def letters_in(records: Iterable[ConsumerRecord]) -> list[DeadLetter]:
    """What records of dead letter topics hold, oldest first: each once, however often it was set aside."""
    found: dict[tuple[str, int, int, bytes | None], DeadLetter] = {}
    replayed: set[tuple[str, int, int]] = set()
    for record in sorted(records, key=lambda each: int(each.timestamp)):
        own = {name.removeprefix(PREFIX): text.decode(errors="replace") for name, text in record.headers}
        try:
            place = (own["topic"], int(own["partition"]), int(own["offset"]))
        except (KeyError, ValueError):
            continue  # none of ours
        if "replayed" in own:
            replayed.add(place)
            continue
        cause = Cause(
            "malformed" if own.get("reason") == "malformed" else "poisonous",
            own.get("error", ""),
            int(own.get("attempts", "1")),
        )
        letter = DeadLetter(
            *place,
            cause,
            own.get("at", ""),
            record.key,
            record.value or b"",
            _foreign(record.headers),
            int(own.get("cut", "0")),
        )
        found.setdefault((*place, record.value), letter)
    return [
        DeadLetter(**{**vars(letter), "replayed": place[:3] in replayed}) for place, letter in found.items()
    ]


def _place(topic: str, partition: int, offset: int) -> dict[str, str]:
    return {"topic": topic, "partition": str(partition), "offset": str(offset)}


def _named(values: dict[str, str]) -> Headers:
    return [(PREFIX + name, text.encode()) for name, text in values.items()]


def _foreign(headers: Iterable[tuple[str, bytes]]) -> Headers:
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]
