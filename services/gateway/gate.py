"""The first thing that a request meets: without a key that opens the path, nothing behind it runs.

A route is behind the gate unless its path is named here: a new one cannot be forgotten.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.auth import Keys
from services.gateway.errors import answer_to
from shared.errors import ServiceError
from shared.stores.database import PyMongoError

OPEN = frozenset({"/livez", "/readyz", "/openapi.json"})


class Gate:
    """Puts the ``Key`` into the scope, under "key". Answers what goes wrong before a route is reached."""

    def __init__(self, app: ASGIApp, *, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            headers = Headers(scope=scope)
            key = await self._keys.key_of(headers.get("authorization"))
            key.require_same(headers.get("openai-organization"), headers.get("openai-project"))
            key.require_scope(scope["method"])
            scope["key"] = key
            await self._app(scope, receive, send_noting)
        except (ServiceError, PyMongoError) as error:
            if begun:
                raise
            await answer_to(error)(scope, receive, send)
