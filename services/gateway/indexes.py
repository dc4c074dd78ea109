"""The indexes that the queries, and the one-run-at-a-time lock, rely on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.gateway.stores.all import Stores
from shared.stores.database import PyMongoError
from shared.tasks import in_background, until_done

PATIENCE_S = 5.0


@asynccontextmanager
async def keep_indexes(stores: Stores) -> AsyncIterator[None]:
    """Create what is missing before the first request; later, if the store is away for now."""
    there = asyncio.Event()

    async def create() -> None:
        await until_done(stores.create_indexes, PyMongoError, what="the store")
        there.set()

    async with in_background(create()):
        with suppress(TimeoutError):
            await asyncio.wait_for(there.wait(), PATIENCE_S)
        yield
