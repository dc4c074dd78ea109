"""Waiting for one frame that belongs to no run: somebody has done what was asked of them."""

from collections.abc import Callable

from services.gateway.stream.inbox import Inbox
from shared.errors import Unavailable
from shared.runs.model import Slot


class Bell:
    """``slot`` is what the others are told, so that they can ring. A ring may be lost: look, too."""

    def __init__(self, slot: Slot, inbox: Inbox, forget: Callable[[str], None]) -> None:
        self.slot = slot
        self._inbox = inbox
        self._forget = forget

    async def wait(self, seconds: float) -> bool:
        """Return once it has rung, at the latest after ``seconds``; whether it has.

        Raises:
            Unavailable: the gateway stops.
        """
        await self._inbox.wait(seconds)
        if self._inbox.closed:
            raise Unavailable("The server stops. Please try again.")
        return self._inbox.pop() is not None

    def close(self) -> None:
        self._forget(self.slot.stream)
