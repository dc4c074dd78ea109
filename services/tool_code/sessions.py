"""The sandboxes of this worker, one for each thread, kept while they are in use."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.errors import SandboxStartFailed
from services.tool_code.sandbox.session import Session
from shared.failpoints import failpoint
from shared.runs.model import Json
from shared.stores.database import Database

log = logging.getLogger(__name__)


class Lost(NamedTuple):
    """A file that code had made, in place ``over`` of an uploaded one if its path had been one's."""

    file_id: str
    over: str | None = None


@dataclass
class Held:
    """A thread's place in this worker. ``earlier`` calls were made in another sandbox, gone since.

    By their paths, as file ids: what was ``brought`` into the sandbox, what its code ``made`` (or
    changed) and was kept, and what a sandbox that is gone had made (``lost``, until it is restored).
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None
    earlier: int = 0
    used_at: float = 0.0
    brought: dict[str, str] = field(default_factory=dict)
    brought_bytes: int = 0
    made: dict[str, str] = field(default_factory=dict)
    lost: dict[str, Lost] = field(default_factory=dict)
    noted: list[Json] | None = None  # the files that the store knows of; None before the sandbox's first call


class Sessions:
    """What a thread's sandbox has seen is in the store, so that a new one, here or elsewhere, is told:
    whether there were ``calls``, and the ``files`` that they made.

    ``most``: sandboxes that are kept. One more closes that which nobody used for the longest time; those
    whose code runs are not closed, and may be more.
    """

    def __init__(self, db: Database, backend: Backend, owner: str, *, idle_s: float, most: int) -> None:
        self._sessions = db["code_sessions"]
        self._backend = backend
        self._owner = owner
        self._idle_s = idle_s
        self._most = most
        self._closing: set[asyncio.Task[None]] = set()
        self._held: dict[str, Held] = {}

    @asynccontextmanager
    async def of_thread(self, thread_id: str) -> AsyncIterator[Held]:
        """Take the thread's turn: its calls run one after the other. ``session`` is alive, or None."""
        held = self._held.setdefault(thread_id, Held())
        held.used_at = time.monotonic()  # also while it waits for its turn
        async with held.lock:
            if held.session and not held.session.alive:
                held.session = None
            held.used_at = time.monotonic()
            yield held
            held.used_at = time.monotonic()

    async def start(self, thread_id: str, held: Held) -> Session:
        """Give the thread a new sandbox. Raises SandboxStartFailed."""
        found = await self._sessions.find_one({"_id": thread_id}) or {}
        held.earlier = int(found.get("calls", 0))
        self._make_room()
        failpoint("tool_code.session_starting")
        starting = asyncio.ensure_future(self._backend.start(thread_id))
        try:
            held.session = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(SandboxStartFailed):
                held.session = await starting  # it is there now: the thread's next call has it
            raise
        finally:
            held.brought, held.brought_bytes, held.made, held.noted = {}, 0, {}, None
            held.lost = {file["path"]: Lost(file["file_id"], file["over"]) for file in found.get("files", ())}
        failpoint("tool_code.session_started")
        begun = {"$set": {"owner": self._owner}, "$inc": {"epoch": 1}}
        await self._sessions.update_one({"_id": thread_id}, begun, upsert=True)
        failpoint("tool_code.session_noted")
        return held.session

    async def note_call(self, thread_id: str, held: Held) -> None:
        """Note that there was a call, and the files that there are after it, unless that is noted."""
        mine = {"_id": thread_id, "owner": self._owner}
        known = held.lost | {path: Lost(made, held.brought.get(path)) for path, made in held.made.items()}
        files = [{"path": path, **lost._asdict()} for path, lost in known.items()]
        if files != held.noted:
            await self._sessions.update_one(mine, {"$inc": {"calls": 1}, "$set": {"files": files}})
            held.noted = files

    async def evict_idle(self) -> None:
        """Close sandboxes that nobody used for ``idle_s`` seconds."""
        oldest = time.monotonic() - self._idle_s
        for thread_id, held in list(self._held.items()):
            if held.used_at < oldest and not held.lock.locked():
                del self._held[thread_id]
                if held.session:
                    log.info("closing an idle sandbox", extra={"thread_id": thread_id})
                    await held.session.close()

    def _make_room(self) -> None:
        """For one more. What its files were is in the store, so that the thread can have them again."""
        live = [held for held in self._held.values() if held.session]
        idle = sorted((held for held in live if not held.lock.locked()), key=lambda held: held.used_at)
        for held in idle[: max(len(live) + 1 - self._most, 0)]:
            assert held.session is not None, "only live ones are looked at"
            log.info("closing a sandbox for want of room", extra={"session_id": held.session.session_id})
            closing = asyncio.create_task(held.session.close())
            held.session = None
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        closing = [held.session.close() for held in self._held.values() if held.session]
        await asyncio.gather(*closing, *self._closing, return_exceptions=True)
