"""Each request as a span; stands before all routes, where tracing is on."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.headers import METHODS, PROBES
from shared import tracing


class Traces:
    """An event stream is one span until it is closed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        parent = Headers(scope=scope).get(tracing.TRACEPARENT, "")
        with tracing.request(method, scope["path"], parent) as span:
            try:
                await self._app(scope, receive, send_noting)
            finally:
                span.answered(getattr(scope.get("route"), "path", "none"), status)
