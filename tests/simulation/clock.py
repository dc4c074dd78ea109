"""An event loop whose time is made up: it jumps to the next timer, so that an hour takes no time."""

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, TypeAlias, TypeVarTuple
from unittest.mock import patch

Ts = TypeVarTuple("Ts")
real_sleep = asyncio.sleep
BEGIN = 1_800_000_000.0  # Unix seconds


class NothingLeft(Exception):
    """No timer is set and nothing is ready: whatever is awaited will never come."""


class _Due:
    """Something to call: all of a handle that tasks and timeouts use."""

    __slots__ = ("_args", "_call", "_context", "_when")

    def __init__(
        self, call: Callable[..., object], args: tuple[object, ...], context: Context | None, when: float
    ) -> None:
        self._call: Callable[..., object] | None = call
        self._args = args
        self._context = copy_context() if context is None else context
        self._when = when

    def cancel(self) -> None:
        self._call, self._args = None, ()

    def cancelled(self) -> bool:
        return self._call is None

    done = cancelled  # a future that is done is not waited for either

    def when(self) -> float:
        return self._when


# What tasks and futures ask for, which they never take back: nine of ten. Or who sleeps.
_Next: TypeAlias = "tuple[Callable[..., object], tuple[object, ...], Context] | _Due | asyncio.Future[None]"


class VirtualLoop(asyncio.BaseEventLoop):
    """Single-threaded, without files or sockets. The same program runs the same way each time.

    Most of a schedule is spent in waiting for one answer after the other, so it has its own queue: the base
    class's looks for sockets and threads between all calls, and makes a handle for each of them.
    """

    get_debug = staticmethod(bool)  # asked for each future
    _stopping: bool  # the base class's

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._set = 0  # timers ever, so that those of one time keep their order
        self._due: deque[_Next] = deque()
        self._later: list[tuple[float, int, _Due | asyncio.Future[None]]] = []

    def time(self) -> float:
        return self._now_s

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Any:
        if context is not None:
            self._due.append((callback, args, context))
            return None
        due = _Due(callback, args, None, self._now_s)
        self._due.append(due)
        return due

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        due = _Due(callback, args, context, when)
        self._set += 1
        heapq.heappush(self._later, (when, self._set, due))
        return due

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def sleep(self, seconds: float) -> "asyncio.Future[None]":
        """Return what is done in ``seconds``, at a fraction of what ``asyncio.sleep`` costs."""
        woken: asyncio.Future[None] = asyncio.Future(loop=self)
        self._set += 1
        heapq.heappush(self._later, (self._now_s + seconds, self._set, woken))
        return woken

    def _run_once(self) -> None:
        """What the base class does again and again: all that is due now, and what is due next."""
        due, later, now_s = self._due, self._later, self._now_s
        while not self._stopping:
            if not due:
                while later and later[0][2].done():
                    heapq.heappop(later)
                if not later:
                    raise NothingLeft
                now_s = self._now_s = max(now_s, later[0][0])
            while later and later[0][0] <= now_s:
                due.append(heapq.heappop(later)[2])
            for _ in range(len(due)):
                each = due.popleft()
                try:
                    if isinstance(each, tuple):
                        call, args, context = each
                        context.run(call, *args)
                    elif not isinstance(each, _Due):
                        if not each.done():
                            each.set_result(None)
                    elif each._call is not None:
                        each._context.run(each._call, *each._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"exception in {each!r}", "exception": error})


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
            patch.object(asyncio, "sleep", _sleep_on(loop)),
        ):
            yield loop
            _let_go(loop)
    finally:
        random.setstate(state)
        loop.close()


def _sleep_on(loop: VirtualLoop) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        if seconds <= 0:
            await real_sleep(0)
        else:
            await loop.sleep(seconds)

    return sleep


def _let_go(loop: VirtualLoop) -> None:
    """Cancel what still waits, and let it end."""
    for _ in range(3):
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=60))
