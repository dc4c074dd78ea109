"""Work that goes on beside a service's requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from shared.backoff import backoff_s

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``work`` until the end of the block. Should it fail before, that is logged, loudly."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Await the two at once; raise what the first raises, also where the second failed sooner."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(other, BaseException):
        raise other
    return one, other


async def until_done(
    attempt: Callable[[], Awaitable[T]],
    passing: type[Exception] | tuple[type[Exception], ...],
    *,
    what: str,
) -> T:
    """Call ``attempt`` until it does not raise ``passing`` any more, with growing pauses up to 5 s."""
    failures = 0
    while True:
        try:
            return await attempt()
        except passing as error:
            failures += 1
            log.warning("%s is not there yet", what, extra={"reason": repr(error)})
            await asyncio.sleep(backoff_s(failures, first_s=0.2, most_s=5.0))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("background work ended", exc_info=error)
