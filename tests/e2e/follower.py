"""Follows a run as one of very many: a bare socket, and back again after every break."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

PAUSE_S = 1.0
BROKEN = (OSError, asyncio.IncompleteReadError, ValueError)


class Follower:
    """``events`` are (id, name, data) as they came; ``breaks`` counts the connections that broke."""

    def __init__(self, base_url: str, headers: dict[str, str], run: dict[str, Any]) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.breaks = 0
        self.ended = False
        url = urlsplit(base_url)
        self._address = (str(url.hostname), int(url.port or 80))
        path = f"{url.path}/threads/{run['thread_id']}/runs/{run['id']}/events"
        lines = [f"GET {path} HTTP/1.1", f"Host: {url.netloc}"]
        self._head = [*lines, *(f"{name}: {value}" for name, value in headers.items())]

    @property
    def text(self) -> str:
        """What the deltas add up to."""
        deltas = [json.loads(data) for _, name, data in self.events if name == "thread.message.delta"]
        return "".join(part["text"]["value"] for delta in deltas for part in delta["delta"]["content"])

    async def follow(self) -> None:
        """Read to the end of the run."""
        while not self.ended:
            try:
                await self._read()
            except BROKEN:
                self.breaks += bool(self.events)
                await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        last_id = self.events[-1][0] if self.events else "0"
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write("\r\n".join([*self._head, f"Last-Event-ID: {last_id}", "", ""]).encode())
            if b" 200 " not in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]:
                raise ValueError("the stream was not given")
            rest = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                rest += await reader.readexactly(size)
                await reader.readexactly(2)
                *whole, rest = rest.split(b"\n\n")
                for each in whole:
                    self._take(each.decode())
        finally:
            writer.transport.abort()

    def _take(self, event: str) -> None:
        fields = dict(line.split(": ", 1) for line in event.split("\n") if line[:1] not in (":", ""))
        if fields:
            self.events.append((fields.get("id", ""), fields["event"], fields["data"]))
            self.ended = fields["event"] == "done"
