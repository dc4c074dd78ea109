"""What a storage of bytes can do. It knows keys and bytes; whose they are is in the documents."""

from collections.abc import AsyncGenerator, AsyncIterable
from types import TracebackType
from typing import Protocol, Self


class BytesMissing(Exception):
    """There is nothing complete under this key."""


class Storage(Protocol):
    """Keeps bytes under keys of letters, digits, ``-`` and ``_``. Open from ``async with`` on.

    Raises, from every method:
        Unavailable: the storage is away.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        """Store ``chunks`` under the new ``key``, one block in memory at a time; return their bytes.

        Should it fail, or ``chunks``, then ``delete`` removes what is there already.
        """
        ...

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Yield what is under ``key``, piece by piece.

        Raises:
            BytesMissing: before the first piece, or where the rest should be.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove everything under ``key``, also what an interrupted ``put`` left. Safe to repeat."""
        ...


async def in_blocks(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in blocks of ``size``; the last one may be shorter, and none is empty."""
    block = bytearray()
    async for chunk in chunks:
        block += chunk
        while len(block) >= size:
            yield bytes(block[:size])
            del block[:size]
    if block:
        yield bytes(block)
