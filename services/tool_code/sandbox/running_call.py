"""The host's own account of a running call: every claim of the sandbox is checked and bounded here."""

import asyncio
import codecs
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.tool_code.sandbox.execution import Execution, Status, describe, known_status
from services.tool_code.sandbox.limits import Limits

log = logging.getLogger(__name__)

MAX_NAMES = 64
MAX_NAME_CHARACTERS = 2300  # nine names of 255
OUTPUT_SLACK_BYTES = 4096

OnOutput = Callable[[str], None]


class ProtocolBroken(Exception):
    """The sandbox said something that the driver never says."""


@dataclass
class RunningCall:
    """The host's own account of the running call."""

    id: int
    limits: Limits
    timeout_s: float
    on_output: OnOutput | None
    finished: asyncio.Future[Execution]
    started: float = field(default_factory=time.monotonic)
    text: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    output_bytes: int = 0
    image_bytes: int = 0
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def output(self, data: bytes, skipped: object) -> None:
        """Printed text, within head + tail; the driver keeps to that, a forged one is cut off."""
        allowed = self.limits.output_head_bytes + self.limits.output_tail_bytes + OUTPUT_SLACK_BYTES
        self.output_bytes += len(data)
        if self.output_bytes > allowed:
            raise ProtocolBroken("more output than allowed")
        if isinstance(skipped, int) and skipped > 0:
            self._add(self.decoder.decode(b"", final=True) + f"\n[... {skipped} bytes skipped ...]\n")
            self.decoder.reset()
        self._add(self.decoder.decode(data))

    def image(self, data: bytes) -> None:
        """An image, within the call's budget."""
        self.image_bytes += len(data)
        if (
            len(self.images) >= self.limits.max_images
            or len(data) > self.limits.max_image_bytes
            or self.image_bytes > self.limits.event_bytes
        ):
            raise ProtocolBroken("more images than allowed")
        self.images.append(data)

    def end(self, execution: Execution) -> None:
        if not self.finished.done():
            self.finished.set_result(execution)

    def logs(self) -> str:
        return "".join(self.text) + self.decoder.decode(b"", final=True)

    def lost(self, status: Status, error: str) -> Execution:
        """The end of a call whose sandbox is gone."""
        notice = describe(status, timeout_s=self.timeout_s, state_lost=True, session_lost=True, error=error)
        return Execution(
            status=status,
            logs=self.logs(),
            images=tuple(self.images),
            state_lost=True,
            notice=notice,
            error=error,
            took_s=time.monotonic() - self.started,
        )

    def done(self, report: dict[str, Any]) -> Execution:
        """The end of a call as the driver reports it."""
        status = known_status(report.get("status"))
        if status is None:
            raise ProtocolBroken("no such status")
        error, limit, dropped = report.get("error"), report.get("limit"), report.get("images_dropped")
        error = error[:200] if isinstance(error, str) else None
        state_lost = report.get("state_lost") is True
        notice = describe(
            status,
            timeout_s=self.timeout_s,
            state_lost=state_lost,
            limit=limit if isinstance(limit, str) else None,
            error=error,
            forks_refused=bool(report.get("forks_refused")),
            images_dropped=dropped if isinstance(dropped, int) else 0,
        )
        return Execution(
            status=status,
            logs=self.logs(),
            images=tuple(self.images),
            state_lost=state_lost,
            notice=notice,
            error=error,
            took_s=time.monotonic() - self.started,
            files=_names(report.get("files")),
            gone=_names(report.get("gone")),
        )

    def _add(self, text: str) -> None:
        if not text:
            return
        self.text.append(text)
        if self.on_output:
            try:
                self.on_output(text)
            except Exception:
                log.exception("a listener to the output failed")
                self.on_output = None


def _names(claimed: object) -> tuple[str, ...]:
    """File names out of a report: relative, no way up, no control characters."""
    names = []
    for item in claimed[:MAX_NAMES] if isinstance(claimed, list) else ():
        name = item[0] if isinstance(item, list) and item else item
        if not isinstance(name, str) or not name.isprintable():
            continue
        if not name.startswith("/") and ".." not in name.split("/"):
            names.append(name[:MAX_NAME_CHARACTERS])
    return tuple(names)
