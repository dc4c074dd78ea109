"""The headers of every answer, a log line for each request, and the last resort when one fails.

Plain ASGI: a response is passed on piece by piece, so that event streams are not held back.
"""

import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.auth import ORGANIZATION
from services.gateway.connections import Connection
from services.gateway.errors import internal_error
from shared import logs, metrics

log = logging.getLogger(__name__)

API_VERSION = "2020-10-01"
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
PROBES = ("/livez", "/readyz")


class ResponseHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request_id = f"req_{secrets.token_hex(16)}"
        status = 0
        scope["connection"] = Connection(scope, receive)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                _add_headers(headers, request_id, began)
                if retry := _retry(scope, status):
                    headers["x-should-retry"] = retry
            await send(message)

        with logs.about(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                log.info("the client left before its request was read")
            except Exception:
                log.exception("a request failed")
                if status:
                    raise  # half an answer is out: all that is left is to cut the connection
                await internal_error(request_id)(scope, receive, send_with_headers)
            finally:
                _log_request(scope, status, began)


def _add_headers(headers: MutableHeaders, request_id: str, began: float) -> None:
    headers["x-request-id"] = request_id
    headers["openai-version"] = API_VERSION
    headers["openai-organization"] = ORGANIZATION
    headers["openai-processing-ms"] = str(_elapsed_ms(began))
    headers["access-control-expose-headers"] = "X-Request-ID"


def _retry(scope: Scope, status: int) -> str:
    """What the SDKs are told where they would decide otherwise, or do harm."""
    if status == 503:
        return "true"
    if status >= 500 and scope["method"] == "POST" and "attempt" not in scope:
        return "false"  # nobody knows what was done, and it would be done again
    return ""


def _log_request(scope: Scope, status: int, began: float) -> None:
    route = getattr(scope.get("route"), "path", "none")  # a template, never what the client wrote
    method = scope["method"] if scope["method"] in METHODS else "other"
    metrics.HTTP.labels(method, route, str(status)).observe(time.monotonic() - began)
    level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
    fields = {"method": scope["method"], "path": scope["path"], "status": status, "ms": _elapsed_ms(began)}
    log.log(level, "answered", extra=fields)


def _elapsed_ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
