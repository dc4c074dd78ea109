"""JSON logs on standard output: one object a line, with the ids of what is being worked on."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_context: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
NOISY = (
    "aiokafka",
    "httpx",
    "httpx2",
    "openai",
    "pymongo",
    "records",  # what FastStream says
    "uvicorn.access",
    "matplotlib",
    "docker",
    "urllib3",
)


def configure(service: str, level: str) -> None:
    """Send every log record of this process to standard output, marked with ``service``."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    # It warns at each rebalance, which is how a group of workers grows and shrinks.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.ERROR)


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """Add ``ids`` (request_id, thread_id, run_id, …) to what is logged inside."""
    token = _context.set({**(_context.get() or {}), **ids})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **(_context.get() or {}),
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)
