"""Seeing that a process is ready: it answers a GET with 200, or it accepts connections."""

import asyncio
from urllib.parse import urlsplit

from deploy.local.program import Probe

ANSWER_WITHIN_S = 3.0
SHOWN_BYTES = 300


def accepts(host: str, port: int) -> Probe:
    async def probe() -> str:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), ANSWER_WITHIN_S)
        except (OSError, TimeoutError) as error:
            return f"{host}:{port}: {error or 'no answer'}"
        writer.close()
        return ""

    return probe


def answers(url: str) -> Probe:
    async def probe() -> str:
        try:
            status, body = await asyncio.wait_for(get(url), ANSWER_WITHIN_S)
        except (OSError, TimeoutError, ValueError) as error:
            return f"{url}: {error or 'no answer'}"
        return "" if status == 200 else f"{url} answers {status} {body[:SHOWN_BYTES]}".rstrip()

    return probe


async def get(url: str) -> tuple[int, str]:
    """Fetch ``url`` (plain http), and return its status and its body.

    Raises:
        OSError: nobody listens there, or the connection broke.
        ValueError: what answered does not speak HTTP.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    protocol, _, rest = head.partition(b" ")
    if not protocol.startswith(b"HTTP/"):
        raise ValueError("this is not HTTP")
    return int(rest[:3]), body.decode(errors="replace").strip()
