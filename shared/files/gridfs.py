"""Bytes in MongoDB, in the layout of GridFS; any GridFS tool can read them.

The driver's own writer holds 48 MB back to send many chunks at once, its reader a batch of
them. Here it is one chunk at a time each way, so that an upload costs the memory of two.
"""

from collections.abc import AsyncGenerator, AsyncIterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from shared.errors import Unavailable
from shared.files.storage import BytesMissing, in_blocks
from shared.stores.database import ASCENDING, Database, PyMongoError, is_outage

BUCKET = "file_bytes"
CHUNK_BYTES = 1 << 20
AWAY = "The server is temporarily unable to reach its store. Please try again shortly."


class GridFSStorage:
    def __init__(self, db: Database) -> None:
        self._files = db[f"{BUCKET}.files"]
        self._chunks = db[f"{BUCKET}.chunks"]
        self._is_indexed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The database is closed by who opened it."""

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        await self._create_index()
        number = length = 0
        async for block in in_blocks(chunks, CHUNK_BYTES):
            await self._chunks.insert_one({"files_id": key, "n": number, "data": block})
            number, length = number + 1, length + len(block)
        await self._files.insert_one(
            {
                "_id": key,
                "length": length,
                "chunkSize": CHUNK_BYTES,
                "uploadDate": datetime.now(UTC),
                "filename": key,
            }
        )
        return length

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        try:
            file = await self._files.find_one({"_id": key})
            if file is None:
                raise BytesMissing(key)
            for number in range(-(-file["length"] // file["chunkSize"])):
                chunk = await self._chunks.find_one({"files_id": key, "n": number})
                if chunk is None:
                    raise BytesMissing(f"{key}, chunk {number}")
                yield bytes(chunk["data"])
        except PyMongoError as error:
            if is_outage(error):
                raise Unavailable(AWAY) from error
            raise

    async def delete(self, key: str) -> None:
        """First what says that the file is complete."""
        await self._files.delete_one({"_id": key})
        await self._chunks.delete_many({"files_id": key})

    async def _create_index(self) -> None:
        if not self._is_indexed:
            await self._chunks.create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)
            self._is_indexed = True
