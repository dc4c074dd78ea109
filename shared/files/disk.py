"""Bytes in a folder. All processes that read and write files must see the same one."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.errors import Unavailable
from shared.files.storage import BytesMissing, in_blocks

BLOCK_BYTES = 1 << 20
KEY = re.compile(r"[A-Za-z0-9_-]+")
UNFINISHED = ".part"
AWAY = "The server is temporarily unable to reach its files. Please try again shortly."


class DiskStorage:
    """One file for each key, written under another name first: what has its name is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open between calls."""

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> int:
        path = self._path(key)
        unfinished = path.with_suffix(UNFINISHED)
        length = 0
        try:
            await asyncio.to_thread(path.parent.mkdir, exist_ok=True)
            file = await asyncio.to_thread(unfinished.open, "xb", buffering=0)
            try:
                async for block in in_blocks(chunks, BLOCK_BYTES):
                    await asyncio.to_thread(_write, file.fileno(), block)
                    length += len(block)
                await asyncio.to_thread(os.fsync, file.fileno())
            finally:
                file.close()
            await asyncio.to_thread(_put_in_place, unfinished, path)
        except OSError as error:
            raise Unavailable(AWAY) from error
        return length

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        try:
            file = await asyncio.to_thread(self._path(key).open, "rb", buffering=0)
        except FileNotFoundError:
            raise BytesMissing(key) from None
        except OSError as error:
            raise Unavailable(AWAY) from error
        with file:
            while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
                yield block

    async def delete(self, key: str) -> None:
        path = self._path(key)
        for each in (path, path.with_suffix(UNFINISHED)):
            try:
                await asyncio.to_thread(each.unlink, missing_ok=True)
            except OSError as error:
                raise Unavailable(AWAY) from error

    def _path(self, key: str) -> Path:
        """Return where ``key`` is; its last two letters name the folder, so that none grows too large."""
        if not KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        return self._folder / key[-2:] / key


def _write(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _put_in_place(unfinished: Path, path: Path) -> None:
    unfinished.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # else the name may be lost with the power
        finally:
            os.close(descriptor)
