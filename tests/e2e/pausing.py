"""A process that stands still for a while, as one does that swaps, or whose machine is moved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.background import BackgroundStack


@contextmanager
def paused(stack: BackgroundStack, service: str) -> Iterator[None]:
    pid = stack.pid(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
