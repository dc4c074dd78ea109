"""Runs in MongoDB. A run and the events it causes are one document: one write, no transaction."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from shared.errors import Stale
from shared.runs.model import Run, Settings, Slot
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.numbered import Numbered
from shared.stores.page import PageQuery, find_numbered_page

log = logging.getLogger(__name__)

MAX_TRIES = 8
UNREADABLE_S = 30.0  # until a run that could not be read is looked at again
NEAR = 2
APPENDED = "events"  # only ever grows: saved by $push of what is new
FIXED = {APPENDED, "settings"}


class ThreadBusy(Exception):
    """Another run of the thread is active."""


class RunStore:
    def __init__(self, db: Database) -> None:
        self._runs = db["runs"]
        self._numbered = Numbered(self._runs, near=NEAR)

    async def create_indexes(self) -> None:
        """As few as will do: the embedded store rewrites all of them at each write."""
        await self._runs.create_index(
            "thread_id", unique=True, partialFilterExpression={"active": True}, name="one_active_per_thread"
        )
        await self._runs.create_index([("watched", ASCENDING), ("wake_at", ASCENDING)])
        await self._runs.create_index([("thread_id", ASCENDING), ("seq", ASCENDING)], unique=True)

    async def add(self, run: Run) -> Run:
        """Insert ``run`` behind the thread's other runs. The insert is the thread's lock.

        Raises:
            ThreadBusy: the thread already has an active run.
        """
        last = self._numbered.behind(run.thread_id)
        for _ in range(MAX_TRIES):
            if last is None:
                last = await self._numbered.last(run.thread_id)
            run = run.evolve(seq=last + 1)
            try:
                await self._runs.insert_one(_document(run))
            except DuplicateKeyError:
                if await self.active_id(run.thread_id):
                    raise ThreadBusy from None
                last = None
                continue  # somebody took the place in the list, and is done already
            self._numbered.note(run.thread_id, run.seq)
            return run
        raise Stale(f"could not add a run to {run.thread_id}")

    def thread_added(self, thread_id: str) -> None:
        """The thread is new: its first run need not look for others."""
        self._numbered.note_empty(thread_id)

    async def active_id(self, thread_id: str) -> str | None:
        """Return the id of the thread's active run, if it has one."""
        found = await self._runs.find_one({"thread_id": thread_id, "active": True}, {"_id": True})
        return found["_id"] if found else None

    async def get(self, run_id: str) -> Run | None:
        document = await self._runs.find_one({"_id": run_id})
        return parse(document) if document else None

    async def page(self, thread_id: str, query: PageQuery) -> tuple[list[Run], bool]:
        page = await find_numbered_page(self._runs, self._numbered, thread_id, query)
        return [parse(document) for document in page.documents], page.has_more

    async def save(self, before: Run, after: Run) -> Run:
        """Write what changed from ``before`` to ``after``, provided nobody has written in between.

        Raises:
            Stale: somebody has. Read again and decide again.
        """
        after = after.evolve(version=before.version + 1)
        update = _update(before, after)
        result = await self._runs.update_one({"_id": before.id, "version": before.version}, update)
        if result.matched_count == 0:
            raise Stale(before.id)
        return after

    async def change(self, run: Run, step: Callable[[Run], Run]) -> tuple[Run, bool]:
        """Step and save; read again and step again when another writer was faster.

        ``run`` may be out of date: that nothing changes is only believed of a run just read.
        Returns the run as it now is, and whether this call changed it.

        Raises:
            Stale: it lost the race too often, or the run is gone.
        """
        known = run
        for _ in range(MAX_TRIES):
            after = step(run)
            if after is not run:
                with suppress(Stale):
                    return await self.save(run, after), True
            elif run is not known:
                return run, False
            found = await self.get(run.id)
            if found is None:
                raise Stale(run.id)
            run = found
        raise Stale(run.id)

    async def set_metadata(self, run: Run, metadata: dict[str, str]) -> None:
        await self._runs.update_one({"_id": run.id}, {"$set": {"metadata": metadata}})

    async def add_slot(self, run_id: str, slot: Slot) -> None:
        """Let a stream listen to a run that exists already."""
        await self._runs.update_one({"_id": run_id}, {"$push": {"slots": slot.model_dump()}})

    async def remove_slot(self, run_id: str, stream: str) -> None:
        await self._runs.update_one({"_id": run_id}, {"$pull": {"slots": {"stream": stream}}})

    async def heartbeat(self, run_ids: Sequence[str], owner: str, *, now: float, wake_at: float) -> None:
        """Keep the runs that ``owner`` works on from being taken over until ``wake_at``.

        Not those that are to be cancelled, or that have expired: an owner that does not end them loses them.
        """
        mine = {"_id": {"$in": list(run_ids)}, "owner": owner, "status": "in_progress"}
        await self._runs.update_many({**mine, "expires_at": {"$gt": now}}, {"$set": {"wake_at": wake_at}})

    async def cancelling(self, run_ids: Sequence[str]) -> list[str]:
        """Return those of ``run_ids`` that a client wants cancelled."""
        found = self._runs.find({"_id": {"$in": list(run_ids)}, "status": "cancelling"}, {"_id": True})
        return [document["_id"] async for document in found]

    async def due(self, now: float, *, limit: int = 100) -> list[Run]:
        """Return active runs that need a look: nobody works on them, or it took too long."""
        return await self._due("active", now, limit)

    async def unannounced(self, now: float, *, limit: int = 100) -> list[Run]:
        """Return runs that ended, and whose end the broker may not have."""
        return await self._due("ended", now, limit)

    async def _due(self, watched: str, now: float, limit: int) -> list[Run]:
        found = self._runs.find({"watched": watched, "wake_at": {"$lte": now}}).sort("wake_at", ASCENDING)
        runs = []
        async for document in found.limit(limit):
            try:
                runs.append(parse(document))
            except ValidationError as error:  # of a later version, perhaps, which can read it
                log.error("a run cannot be read", exc_info=error, extra={"run_id": document["_id"]})
                later = {"$set": {"wake_at": now + UNREADABLE_S}}
                await self._runs.update_one({"_id": document["_id"]}, later)
        return runs

    async def mark_published(self, run: Run) -> None:
        """Note how far the run's events reached the broker. If all did, nobody needs to look:

        at a run that ended, ever; at one that waits for its client, before it expires.
        """
        update: dict[str, Any] = {"$set": {"published": run.published.model_dump()}}
        if run.published.n == len(run.events):
            if run.ended:
                update["$unset"] = {"watched": True}
            elif run.phase == "user":
                update["$set"]["wake_at"] = float(run.expires_at)
        await self._runs.update_one({"_id": run.id, "version": run.version}, update)

    async def publish_again(self, generation: str, *, since: float, now: float) -> int:
        """Wake what only a forgotten broker of ``generation`` has seen; return how many runs that are.

        Of the runs that ended, those that did so after ``since``. What somebody works on, or will soon,
        is published to the new broker from its first event anyway.
        """
        seen = {"published.generation": generation}
        ended = {"watched": None, "wake_at": {"$gte": since}, **seen}
        woken = await self._runs.update_many(ended, {"$set": {"watched": "ended", "wake_at": now}})
        waiting = {"watched": "active", "phase": "user", **seen}
        asked = await self._runs.update_many(waiting, {"$set": {"wake_at": 0.0}})
        return int(woken.modified_count + asked.modified_count)


def parse(document: Document) -> Run:
    settings = Settings.model_validate_json(document["settings"])
    return Run.model_validate({**document, "id": document["_id"], "settings": settings})


def _document(run: Run) -> Document:
    fields = run.model_dump(mode="json", exclude={"id", "settings"})
    # As text: a function's schema may hold names that mean something to the driver, such as $ref.
    fields["settings"] = run.settings.model_dump_json()
    return {"_id": run.id, **fields, "active": True, "watched": "active"}


def _update(before: Run, after: Run) -> Document:
    changed = {
        name
        for name in Run.model_fields
        if name not in FIXED and getattr(before, name) is not getattr(after, name)
    }
    changed.add("published")  # announcing moves it in memory; it is stored with the next change
    update: Document = {"$set": after.model_dump(mode="json", include=changed)}
    new = after.events[len(before.events) :]
    if new:
        update["$push"] = {APPENDED: {"$each": [event.model_dump(mode="json") for event in new]}}
    if after.ended:
        update["$set"]["watched"] = "ended"
        update["$unset"] = {"active": True}
    return update
