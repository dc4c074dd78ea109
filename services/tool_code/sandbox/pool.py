"""Sandboxes that are ready before somebody asks: started, and with the usual libraries imported."""

import asyncio
import logging
from collections import deque

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.errors import SandboxError
from services.tool_code.sandbox.session import Session
from shared.backoff import backoff_s

log = logging.getLogger(__name__)

PRELOAD = ("numpy", "pandas", "matplotlib.pyplot", "matplotlib_inline.backend_inline")


class Pool:
    """A backend that keeps ``size`` sandboxes of another one warm while ``run`` runs.

    A warm one has run no code; it goes to one thread and never comes back. Without one, ``start``
    does not wait: it starts a cold one.
    """

    def __init__(self, backend: Backend, size: int) -> None:
        self.name = backend.name
        self.description = backend.description
        self._backend = backend
        self._size = size
        self.warm: deque[Session] = deque()
        self._taken = asyncio.Event()

    @property
    def ready(self) -> int:
        """How many are warm now."""
        return len(self.warm)

    async def start(self, session_id: str) -> Session:
        while self.warm:
            session = self.warm.popleft()
            self._taken.set()
            if session.alive:
                session.session_id = session_id
                return session
            await session.close()
        return await self._backend.start(session_id)

    async def run(self) -> None:
        """Refill until cancelled."""
        failures = 0
        while True:
            while len(self.warm) < self._size:
                try:
                    self.warm.append(await self._start_warm())
                    failures = 0
                except SandboxError as error:
                    failures += 1
                    log.warning("could not keep a sandbox warm", extra={"reason": str(error)})
                    await asyncio.sleep(backoff_s(failures, first_s=1.0, most_s=60.0))
            self._taken.clear()
            await self._taken.wait()

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self.warm), return_exceptions=True)
        self.warm.clear()
        await self._backend.close()

    async def _start_warm(self) -> Session:
        session = await self._backend.start("warm")
        try:
            await session.preload(PRELOAD)
        except BaseException:
            await session.close()
            raise
        return session
