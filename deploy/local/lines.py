"""Log lines of many processes as one readable stream."""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

LAUNCHER = "threadmill"
TIME_UNKNOWN = " " * 8
_PLAIN = re.compile(r"(\d{4}-\d\d-\d\d[ T]\S+) +(DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_KNOWN = {"at", "level", "service", "logger", "message", "exception"}
_RESET = "\x1b[0m"
_PREFIX_COLOURS = ("\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[92m")
_LEVEL_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}


@dataclass(frozen=True)
class Line:
    """One log line, whoever wrote it. ``level`` is "" when it does not say."""

    at: str
    level: str
    message: str
    details: str = ""  # key=value pairs
    exception: str = ""


def parse(raw: str) -> Line:
    if (entry := _as_object(raw)) is not None:
        fields = {name: value for name, value in entry.items() if name not in _KNOWN}
        return Line(
            at=_clock(str(entry.get("at", ""))),
            level=str(entry.get("level", "")).lower(),
            message=str(entry["message"]),
            details=" ".join(f"{name}={_short(value)}" for name, value in fields.items()),
            exception=str(entry.get("exception", "")),
        )
    text = _COLOUR.sub("", raw)
    if match := _PLAIN.match(text):
        return Line(at=_clock(match[1]), level=match[2].lower(), message=match[3])
    return Line(at=TIME_UNKNOWN, level="", message=text)


class Renderer:
    """Decides which lines are shown, and how.

    Of the services those from ``level`` on are shown; of the launcher itself those from info on:
    its lines are few and tell what happens to the processes. A line without a level (a traceback)
    is always shown.
    """

    def __init__(
        self, names: Iterable[str], *, level: str, colour: bool = False, as_json: bool = False
    ) -> None:
        self._width = max(map(len, names))
        self._threshold = _rank(level)
        self._colour = colour
        self._as_json = as_json
        self._colours: dict[str, str] = {}

    def render(self, service: str, raw: str) -> str | None:
        """Return what is to be shown of ``raw``, without a line end, or None."""
        line = parse(raw)
        threshold = min(self._threshold, logging.INFO) if service == LAUNCHER else self._threshold
        if line.level and _rank(line.level) < threshold:
            return None
        if self._as_json:
            return raw if _as_object(raw) is not None else _wrap(service, line)
        return self._text(service, line)

    def _text(self, service: str, line: Line) -> str:
        prefix = self._paint(service.ljust(self._width), self._colour_of(service)) + " | "
        level = self._paint(line.level.ljust(7), _LEVEL_COLOURS.get(line.level, ""))
        first = " ".join(part for part in (line.at, level, line.message, line.details) if part.strip())
        rest = [f"{TIME_UNKNOWN} {more}" for more in line.exception.splitlines()]
        return "\n".join(prefix + text for text in [first, *rest])

    def _colour_of(self, service: str) -> str:
        following = _PREFIX_COLOURS[len(self._colours) % len(_PREFIX_COLOURS)]
        return self._colours.setdefault(service, following)

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour else text


def _as_object(raw: str) -> dict[str, object] | None:
    if not raw.startswith("{"):
        return None
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "message" in entry else None


def _wrap(service: str, line: Line) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    level = line.level or "warning"
    entry = {"at": now, "level": level, "service": service, "message": line.message}
    return json.dumps(entry, ensure_ascii=False)


def _clock(at: str) -> str:
    """Return the time of day here; a time without a zone is from here."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return TIME_UNKNOWN


def _short(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value, default=str)


def _rank(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.WARNING)
