"""The connection below a request: whether the client is still there."""

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope


class Connection:
    """``receive`` must be the server's own. Under another server than uvicorn nothing is known: never cut."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        cycle: Any = getattr(receive, "__self__", None)
        self._transport: asyncio.Transport | None = getattr(cycle, "transport", None)
        self._for_one = Headers(scope=scope).get("connection", "").lower() == "close"

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._transport is not None and self._transport.is_closing()

    @property
    def cut(self) -> bool:
        """Whether it has left although it wanted to stay; asked after the answer."""
        return not self._for_one and self.gone
