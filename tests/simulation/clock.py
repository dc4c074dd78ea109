"""An event loop whose time is made up: it jumps to the next timer, so that an hour takes no time."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn
from unittest.mock import patch

BEGIN = 1_800_000_000.0  # Unix seconds


class NothingLeft(Exception):
    """No timer is set and nothing is ready: whatever is awaited will never come."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Single-threaded, without files or sockets. The same program runs the same way each time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self
        self.set_debug(False)

    def time(self) -> float:
        return self._now_s

    def select(self, timeout_s: float | None) -> Sequence[NoReturn]:
        """What the base class takes for waiting on sockets."""
        if timeout_s is None:
            raise NothingLeft
        self._now_s += timeout_s
        return ()

    def _process_events(self, events: Sequence[NoReturn]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


@contextmanager
def virtual_time(seed: int) -> Iterator[VirtualLoop]:
    """Give a loop; inside, ``time`` and ``random`` follow from it and from ``seed`` alone."""
    loop = VirtualLoop()
    state = random.getstate()
    random.seed(seed)
    try:
        with (
            patch.object(time, "time", lambda: BEGIN + loop.time()),
            patch.object(time, "monotonic", loop.time),
        ):
            yield loop
            _let_go(loop)
    finally:
        random.setstate(state)
        loop.close()


def _let_go(loop: VirtualLoop) -> None:
    """Cancel what still waits, and let it end."""
    for _ in range(3):
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=60))
