"""Files: added whole or not at all, read, deleted, and what was left behind swept.

A file that is deleted may be named elsewhere; who keeps such names says how to forget them.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from shared import clock
from shared.errors import ServiceError, Unavailable
from shared.files.storage import Storage
from shared.ids import new_file_id
from shared.stores.database import Document, PyMongoError
from shared.stores.files import FileStore

log = logging.getLogger(__name__)

RENEW_EVERY_S = 30.0
SWEEP_EVERY_S = 30.0
LOST = "The file could not be stored in time. Please try again."
PASSING = (PyMongoError, ServiceError)

Forget: TypeAlias = Callable[[str, str], Awaitable[None]]  # is given the project's and the file's id


class Arrival:
    """A file on its way in: first its bytes, then the rest."""

    def __init__(self, file_id: str, project_id: str, store: FileStore, storage: Storage) -> None:
        self.file_id = file_id
        self._project_id = project_id
        self._store = store
        self._storage = storage
        self._bytes = 0

    async def write(self, chunks: AsyncIterable[bytes]) -> None:
        """Store the bytes of the file; once."""
        self._bytes = await self._storage.put(self.file_id, self._renewing(chunks))

    async def complete(self, *, purpose: str, filename: str, expires_after_s: int | None = None) -> Document:
        """Make it a file, for all to see.

        Raises:
            Unavailable: it took so long that it was taken for dead.
        """
        now = clock.now()
        fields = {
            "purpose": purpose,
            "filename": filename,
            "bytes": self._bytes,
            "expires_at": int(now) + expires_after_s if expires_after_s is not None else None,
        }
        file = await self._store.complete(self.file_id, self._project_id, fields, now)
        if file is None:
            raise Unavailable(LOST)
        return file

    async def _renewing(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        renewed_at = time.monotonic()
        async for chunk in chunks:
            yield chunk
            if time.monotonic() - renewed_at > RENEW_EVERY_S:
                await self._store.renew(self.file_id, clock.now())
                renewed_at = time.monotonic()


class Library:
    def __init__(self, store: FileStore, storage: Storage, forget: Sequence[Forget] = ()) -> None:
        self.store = store
        self._storage = storage
        self._forget = forget

    @asynccontextmanager
    async def arrival(self, project_id: str, *, file_id: str | None = None) -> AsyncIterator[Arrival]:
        """Let a new file come in; what is not complete at the end of the block is removed.

        With a ``file_id``, what an earlier attempt left under it is replaced.
        """
        again = file_id is not None
        file_id = file_id or new_file_id()
        await self.store.expect(file_id, project_id, clock.now())
        try:
            if again:
                await self._storage.delete(file_id)
            yield Arrival(file_id, project_id, self.store, self._storage)
        except BaseException:
            await asyncio.shield(self._give_up(file_id, project_id))
            raise

    async def keep(
        self, file_id: str, project_id: str, content: bytes, *, purpose: str, filename: str
    ) -> Document:
        """Add a file whose id follows from the work that made it. Safe to repeat: a complete one stays."""
        if found := await self.store.get(project_id, file_id, clock.now()):
            return found
        async with self.arrival(project_id, file_id=file_id) as arrival:
            await arrival.write(_whole(content))
            return await arrival.complete(purpose=purpose, filename=filename)

    async def content(self, file: Document) -> bytes:
        """All bytes of a file that is known to be small. Raises as ``Storage.read`` does."""
        return b"".join([piece async for piece in self.read(file)])

    def read(self, file: Document) -> AsyncGenerator[bytes, None]:
        return self._storage.read(file["_id"])

    async def delete(self, file: Document) -> bool:
        """Delete ``file``, and what it leaves behind now or, should that fail, later.

        Returns whether this call did it.
        """
        if not await self.store.delete(file, clock.now()):
            return False
        await self._remove(file["_id"], file["project_id"])
        return True

    async def sweep(self) -> int:
        """Remove what expired and what interrupted work left behind; return how many files that were."""
        claimed = await self.store.claim_leftovers(clock.now())
        for file in claimed:
            await self._remove(file["_id"], file["project_id"])
        return len(claimed)

    async def keep_swept(self) -> None:
        """Sweep from time to time until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.75, 1.25))
            try:
                await self.sweep()
            except PASSING as error:
                log.warning("could not look for leftovers of files", extra={"reason": repr(error)})

    async def _give_up(self, file_id: str, project_id: str) -> None:
        try:
            if not await self.store.give_up(file_id, clock.now()):
                return
        except PASSING as error:
            log.warning("a file was left half stored", extra={"reason": repr(error), "file_id": file_id})
            return
        await self._remove(file_id, project_id)

    async def _remove(self, file_id: str, project_id: str) -> None:
        """Safe to repeat; what fails is tried again by a later sweep."""
        try:
            for forget in self._forget:
                await forget(project_id, file_id)
            await self._storage.delete(file_id)
            await self.store.removed(file_id)
        except PASSING as error:
            log.warning("leftovers of a file remain", extra={"reason": repr(error), "file_id": file_id})


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
