"""A POST that comes again is answered again, not done again.

The SDKs repeat a POST by themselves when they see no answer, and say that it is a repeat. Then,
what was done for the first one is found by the ids it was given (``Attempt``), and answered. A
client that names its request (``Idempotency-Key``) is given the very answer of the first one, for a day.
Uploads are let through: their bytes are not read twice, and each try writes them differently.
"""

import base64
import hashlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.auth import Key
from services.gateway.body import UPLOADS
from services.gateway.connections import Connection
from services.gateway.ledger import Entry, Ledger
from services.gateway.whole import read_whole
from shared.failpoints import failpoint
from shared.runs.model import Json

KEPT_HEADERS = (b"content-type", b"openai-poll-after-ms")
STREAM = b"text/event-stream"
CLIENT_LEFT = 499  # as proxies log it; no client ever sees it

# Everybody asks for a new thread in the same words. Better one that nobody has than one that two users have.
ASKED_FOR_ALIKE = ("/v1/threads", "/threads")


class Idempotency:
    """``connection`` must be in the scope: see ``headers.py``."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or "key" not in scope:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name, count = headers.get("idempotency-key"), headers.get("x-stainless-retry-count")
        is_upload = scope["path"] in UPLOADS or headers.get("content-type", "").startswith("multipart/")
        if is_upload or not (name or count):
            await self._app(scope, receive, send)
            return
        body, receive = await read_whole(receive)
        request = what_is_asked(scope, headers, body)
        if name:
            entry = await self._ledger.begin_named(_hash(scope["key"].id, name), request)
            await self._answer_named(entry, scope, receive, send)
            return
        if count == "0":
            entry = await self._ledger.begin(request)
        else:
            entry = await self._ledger.begin_again(request, in_doubt=scope["path"] not in ASKED_FOR_ALIKE)
        await self._answer(entry, scope, receive, send)

    async def _answer(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection = scope["connection"]
        if connection.gone:  # it may have asked again already, before this was noted
            await self._ledger.lost(entry)
            await _send_to_nobody(send)
            return
        scope["attempt"] = entry.attempt
        status, arrives = 0, False

        async def send_watching(message: Message) -> None:
            nonlocal status, arrives
            if message["type"] == "http.response.start":
                status = message["status"]
                failpoint("gateway.answering")
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            arrives = last and not connection.gone
            await send(message)
            if last:
                failpoint("gateway.answer_sent")

        try:
            await self._app(scope, receive, send_watching)
        finally:
            if 400 <= status < 500:
                self._ledger.drop(entry)  # nothing was done
            elif arrives and status < 500:
                self._ledger.sent(entry, connection)
            else:
                await self._ledger.lost(entry)

    async def _answer_named(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        if entry.answer is not None and not entry.answer["stream"]:
            await _send_kept(entry.answer, send)
            return
        scope["attempt"] = entry.attempt
        kept = _Keeping(entry, self._ledger, send)
        try:
            await self._app(scope, receive, kept.send)
        finally:
            if not kept.done:
                await self._ledger.lost(entry)


class _Keeping:
    """Holds an answer back until it is kept; of an event stream, only that it is one."""

    def __init__(self, entry: Entry, ledger: Ledger, send: Send) -> None:
        self.done = entry.answer is not None
        self._entry = entry
        self._ledger = ledger
        self._send = send
        self._start: Message = {}
        self._body: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            if self._passes:
                await self._keep({"stream": True})
                await self._send(message)
        elif self._passes or message["type"] != "http.response.body":
            await self._send(message)
        else:
            await self._take(message)

    @property
    def _passes(self) -> bool:
        headers = dict(self._start.get("headers", ()))
        return bool(headers.get(b"content-type", b"").startswith(STREAM))

    async def _take(self, message: Message) -> None:
        self._body.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        status, body = self._start["status"], b"".join(self._body)
        if status < 500 and status != 429:
            headers = {
                name.decode(): value.decode()
                for name, value in self._start["headers"]
                if name.lower() in KEPT_HEADERS
            }
            await self._keep(
                {
                    "stream": False,
                    "status": status,
                    "headers": headers,
                    "body": base64.b64encode(body).decode(),
                }
            )
        await self._send(self._start)
        await self._send({**message, "body": body})

    async def _keep(self, answer: Json) -> None:
        if not self.done:
            await self._ledger.keep(self._entry, answer)
            self.done = True


async def _send_to_nobody(send: Send) -> None:
    """The server wants an answer all the same."""
    await send({"type": "http.response.start", "status": CLIENT_LEFT, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _send_kept(answer: Json, send: Send) -> None:
    body = base64.b64decode(answer["body"])
    headers = {**answer["headers"], "content-length": str(len(body)), "idempotent-replayed": "true"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer["status"], "headers": raw})
    await send({"type": "http.response.body", "body": body})


def what_is_asked(scope: Scope, headers: Headers, body: bytes) -> str:
    """Return what two requests have in common that ask for the same."""
    key: Key = scope["key"]
    asked = (key.id, scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
    return _hash(*asked, headers.get("openai-beta", ""), hashlib.sha256(body).hexdigest())


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
