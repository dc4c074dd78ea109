"""A TCP proxy that loses answers: what was asked arrives, what was answered does not."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from tests.processes import free_port

When = Literal["asked", "answered", "half answered"]


class LosingProxy:
    """Passes everything on, except the answers to the next ``losses`` POST requests.

    ``when``: whether the connections are cut as soon as the request has been passed on, after the answer
    has arrived here in full, or after its first bytes have gone on to the client.
    """

    def __init__(self, target: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.losses = 0
        self.when: When = "answered"
        self.posts = 0
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        losing = asyncio.Event()
        tasks = [
            asyncio.create_task(self._ask(reader, up_writer, losing)),
            asyncio.create_task(self._answer(up_reader, writer, losing)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for each in (writer, up_writer):
                with suppress(OSError):
                    await each.drain()
                each.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if data.startswith(b"POST"):
                self.posts += 1
                if self.losses:
                    self.losses -= 1
                    losing.set()
            writer.write(data)
            await writer.drain()
            if losing.is_set() and self.when == "asked":
                await asyncio.sleep(0.02)  # the head and the body come in two pieces
                if rest := await self._rest(reader):
                    writer.write(rest)
                    await writer.drain()
                return

    async def _rest(self, reader: asyncio.StreamReader) -> bytes:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                return await reader.read(65536)
        return b""

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if not losing.is_set():
                writer.write(data)
                await writer.drain()
            elif self.when == "answered":
                await self._rest(reader)
                return
            elif self.when == "half answered":
                writer.write(data[:20])
                await writer.drain()
                return


@contextmanager
def losing_proxy(target: str) -> Iterator[LosingProxy]:
    proxy = LosingProxy(target)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port), loop
    ).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)  # transports close one turn of the loop later
