"""An open event stream as bytes: server-sent events in the form that the SDKs read."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.gateway.errors import error_body
from services.gateway.search_content import SearchContent
from services.gateway.stream.places import Place
from services.gateway.stream.streams import Stream
from services.gateway.version import Version
from services.gateway.wire.v1 import event_name, render
from shared.errors import ServiceError
from shared.failpoints import failpoint
from shared.runs.model import Json, Run

log = logging.getLogger(__name__)

DONE = b"event: done\ndata: [DONE]\n\n"
PING = b": ping\n\n"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
LINE_ENDS = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})
LOST = "The event stream was interrupted. The run goes on; retrieve it for its result."


class EventStream(StreamingResponse):
    """Follows ``run`` behind its event ``after``. A client that leaves does not stop the run.

    ``first``: events that are none of the run's, like the thread made with it. ``content``: what
    search results are shown with. ``begin``: it goes on to the run's end, and each event has an id,
    so that a client can come back there.
    """

    def __init__(
        self,
        stream: Stream,
        run: Run,
        version: Version,
        *,
        after: int = 0,
        first: Iterable[tuple[str, Json]] = (),
        content: SearchContent | None = None,
        begin: Place | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._stream = stream
        self._on_close = on_close
        told = (
            _numbered(stream, run, version, begin) if begin else _plain(stream, run, version, after, content)
        )
        chunks = _chunks(told, run, [encode(*each, version) for each in first])
        super().__init__(chunks, media_type="text/event-stream", headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._stream.close()
                if self._on_close:
                    await self._on_close()


def encode(name: str, obj: Json, version: Version, place: str = "") -> bytes:
    return _event(event_name(name, version), render(obj, version), place)


def encode_error(error: ServiceError) -> bytes:
    """Some SDKs look for ``error`` inside, others read the fields beside it."""
    fields = error_body(error)
    return _event("error", {"error": fields, **fields})


def _event(name: str, data: Json, place: str = "") -> bytes:
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if not line.isascii():
        line = line.translate(LINE_ENDS)  # some readers of lines end one at each of these
    id_ = f"id: {place}\n" if place else ""
    return f"{id_}event: {name}\ndata: {line}\n\n".encode()


async def _plain(
    stream: Stream, run: Run, version: Version, after: int, content: SearchContent | None
) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream.follow(run, after=after)) as told:
        async for named in told:
            if named is None:
                yield PING
                continue
            name, obj = named
            yield encode(name, await content.streamed(obj) if content else obj, version)


async def _numbered(stream: Stream, run: Run, version: Version, begin: Place) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream.follow_to_end(run, begin)) as told:
        async for placed in told:
            yield PING if placed is None else encode(*placed[1], version, placed[0])


async def _chunks(
    told: AsyncGenerator[bytes, None], run: Run, first: Iterable[bytes]
) -> AsyncIterator[bytes]:
    failpoint("gateway.stream_begun")
    for chunk in first:
        yield chunk
    try:
        async with aclosing(told):
            async for chunk in told:
                yield chunk
                failpoint("gateway.stream_event")
    except ServiceError as error:
        log.warning("an event stream ends early", exc_info=error, extra={"run_id": run.id})
        yield encode_error(error)
    except Exception:
        log.exception("an event stream failed", extra={"run_id": run.id})
        yield encode_error(ServiceError(LOST))
    failpoint("gateway.stream_ending")
    yield DONE
