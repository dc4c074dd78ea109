"""Keeps ``shared.clock`` with the store's."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC

from shared import clock
from shared.stores.database import Database, PyMongoError
from shared.tasks import in_background

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
RETRY_S = 1.0
PATIENCE_S = 5.0  # a store that is not there yet keeps nobody from starting

_followers = 0


async def look(db: Database) -> float:
    """Ask the store what time it is, and go by that; return by how much it was ahead, in seconds.

    Raises:
        PyMongoError: it did not say.
    """
    asked_s = time.monotonic()
    answer = await db.command("hello")
    if "localTime" not in answer:
        return 0.0
    return clock.agree(answer["localTime"].replace(tzinfo=UTC).timestamp(), asked_s, time.monotonic())


@asynccontextmanager
async def following(db: Database) -> AsyncIterator[None]:
    """Go by the store's clock in the block, from its beginning on if the store is there by then."""
    global _followers
    seen = asyncio.Event()

    async def follow() -> None:
        while True:
            try:
                off_s = await look(db)
            except PyMongoError as error:
                log.debug("the store did not say what time it is", exc_info=error)
                await asyncio.sleep(RETRY_S)
                continue
            if off_s:
                log.warning("this clock was wrong; going by the store's", extra={"ahead_s": round(off_s, 1)})
            seen.set()
            await asyncio.sleep(LOOK_EVERY_S)

    _followers += 1
    try:
        async with in_background(follow()):
            with suppress(TimeoutError):
                await asyncio.wait_for(seen.wait(), PATIENCE_S)
            yield
    finally:
        _followers -= 1
        if not _followers:
            clock.forget()
