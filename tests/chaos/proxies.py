"""A TCP proxy in front of a server, that can be slow, deaf or gone."""

import asyncio
import struct
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from tests.processes import free_port

HOST = "127.0.0.1"
READ_BYTES = 1 << 18
CLOSED = (ConnectionError, OSError, asyncio.IncompleteReadError)


class Proxy:
    """Passes bytes on to ``target``. The attributes may be changed at any time.

    ``renames_itself``: a Kafka broker tells its clients where to connect to; they are told the proxy.
    """

    def __init__(self, *, renames_itself: bool = False) -> None:
        self.port = free_port()
        self.target = (HOST, 0)
        self.delay_s = 0.0  # of each piece, both ways
        self.refuses = False  # new connections are closed at once
        self.losses = 0  # of so many answers: they are lost with their connection, what was asked is done
        self._renames_itself = renames_itself
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Break all connections that are open."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def be_deaf(self) -> None:
        """Pass nothing on, and break nothing, until ``heal``: like a network that lost its way."""
        self._flows.clear()

    async def go_away(self) -> None:
        self.refuses = True
        await self.cut()

    def heal(self) -> None:
        self.delay_s, self.refuses, self.losses = 0.0, False, 0
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self.refuses:
                await self._join(reader, writer)
        except (*CLOSED, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        ways = [asyncio.create_task(way) for way in self._ways(reader, writer, far_reader, far_writer)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> list[Coroutine[Any, Any, None]]:
        return [
            self._pass(reader, far_writer, answers=False),
            self._pass(far_reader, writer, answers=True),
        ]

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(READ_BYTES):
            await self._hold()
            if answers and self._is_lost():
                return
            writer.write(self._renamed(data) if answers else data)
            await writer.drain()

    async def _hold(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._flows.wait()

    def _is_lost(self) -> bool:
        if self.losses <= 0:
            return False
        self.losses -= 1
        return True

    def _renamed(self, data: bytes) -> bytes:
        if not self._renames_itself:
            return data
        own, far = (HOST.encode() + struct.pack(">i", port) for port in (self.port, self.target[1]))
        return data.replace(far, own)
