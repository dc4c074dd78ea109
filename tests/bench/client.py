"""HTTP with as little work as possible, so that the client is not what is measured."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

KEPT_S = 3.0  # servers close a connection that is idle for little longer


class Refused(Exception):
    """The server answered with something else than 200."""


class Client:
    """One connection that is kept open: one request at a time. Paths are relative to ``base_url``."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._parts = urlsplit(base_url)
        self._headers = (
            f"Host: {self._parts.netloc}\r\nAuthorization: Bearer {api_key}\r\n"
            "OpenAI-Beta: assistants=v2\r\nContent-Type: application/json\r\n"
        )

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def get(self, path: str) -> Any:
        return await self._json("GET", path, None)

    async def post(self, path: str, body: Any) -> Any:
        return await self._json("POST", path, body)

    async def events(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """POST, and yield each server-sent event as its lines; read it to the end."""
        await self._send("POST", path, body)
        received = b""
        while part := await self._chunk():
            received += part
            *whole, received = received.split(b"\n\n")
            for event in whole:
                yield event

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._used_at = time.monotonic()

    async def _json(self, method: str, path: str, body: Any) -> Any:
        length = await self._send(method, path, body)
        return json.loads(await self._reader.readexactly(length))

    async def _send(self, method: str, path: str, body: Any) -> int:
        """Return the length of the answer's body, 0 if it comes in chunks."""
        if time.monotonic() - self._used_at > KEPT_S:
            self._writer.close()
            await self._connect()
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {self._parts.path}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(raw)}\r\n\r\n"
        )
        self._writer.write(head.encode() + raw)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        self._used_at = time.monotonic()
        fields = dict(line.lower().split(": ", 1) for line in answer.splitlines()[1:] if line)
        length = int(fields.get("content-length", 0))
        if answer.split(" ")[1] != "200":
            raise Refused(answer + (await self._reader.readexactly(length)).decode())
        return length

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:-2]
