"""One call while it runs: its deadline, its budget, and what has to be told when it ends."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH123

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.tool_code.sandbox.driver.files import Changes
from services.tool_code.sandbox.driver.output import Output
from services.tool_code.sandbox.driver.policy import Policy

FIRST_LOOK_S = 0.03  # short calls end before anybody measures them
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")

Tell = Callable[[dict[str, Any], bytes | None], None]


class Call:
    """The call that the worker runs now."""

    def __init__(self, request: dict[str, Any], policy: Policy, tell: Tell) -> None:
        now = time.monotonic()
        self.id = request["id"]
        self.deadline = now + float(request["timeout_s"])
        self.interrupted = False
        self.next_look = now + FIRST_LOOK_S
        self.output = Output(policy.output_head_bytes, policy.output_tail_bytes, self._emit)
        self._policy = policy
        self._grace_s = float(request["grace_s"])
        self._tell = tell
        self._images = self._image_bytes = self._events = self._images_dropped = 0
        self._kills_before = _kernel_kills()
        self._started = now

    def interrupt(self) -> None:
        """The code has been asked to stop; it has its grace to do so."""
        self.interrupted = True
        self.deadline = time.monotonic() + self._grace_s

    def image(self, kind: str, image: bytes) -> None:
        """Pass an image on, within the call's budget."""
        self._events += 1
        self._image_bytes += len(image)
        if (
            self._images < self._policy.max_images
            and len(image) <= self._policy.max_image_bytes
            and self._image_bytes <= self._policy.event_bytes
            and self._events <= self._policy.max_events
        ):
            self._images += 1
            self._emit({"event": "image", "kind": kind}, image)
        else:
            self._images_dropped += 1

    def finish(self, outcome: dict[str, Any], changes: Changes) -> None:
        """The last frames of the call."""
        self.output.finish()
        done = {
            "event": "done",
            "id": self.id,
            "took_s": time.monotonic() - self._started,
            "images_dropped": self._images_dropped,
            "files": changes.written,
            "gone": changes.gone,
        }
        self._tell(done | outcome, None)

    def kernel_killed(self) -> bool:
        """Whether the kernel killed something here for its memory since the call began."""
        return _kernel_kills() > self._kills_before

    def _emit(self, message: dict[str, object], blob: bytes) -> None:
        self._tell(message | {"id": self.id}, blob)


def _kernel_kills() -> int:
    """OOM kills in this container's cgroup; 0 where there is none to see."""
    for path in OOM_COUNTERS:
        with suppress(OSError), open(path) as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
