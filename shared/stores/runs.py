"""Runs in MongoDB. A run and the events it causes are one document: one write, no transaction."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from shared.errors import Stale
from shared.runs.model import Run, Settings, Slot
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.page import Page, PageQuery, find_page

MAX_TRIES = 8
APPENDED = "events"  # only ever grows: saved by $push of what is new
FIXED = {APPENDED, "settings"}


class ThreadBusy(Exception):
    """Another run of the thread is active."""


class RunStore:
    def __init__(self, db: Database) -> None:
        self._runs = db["runs"]

    async def create_indexes(self) -> None:
        """As few as will do: the embedded store rewrites all of them at each write."""
        await self._runs.create_index(
            "thread_id", unique=True, partialFilterExpression={"active": True}, name="one_active_per_thread"
        )
        for keys in (
            ("owner", "active", "status"),
            ("active", "wake_at"),
            ("active", "overdue_at"),
            ("unpublished", "touched_at"),
        ):
            await self._runs.create_index([(key, ASCENDING) for key in keys])
        await self._runs.create_index([("thread_id", ASCENDING), ("seq", ASCENDING)], unique=True)

    async def add(self, run: Run) -> Run:
        """Insert ``run`` behind the thread's other runs. The insert is the thread's lock.

        Raises:
            ThreadBusy: the thread already has an active run.
        """
        for _ in range(MAX_TRIES):
            last = await self._runs.find_one({"thread_id": run.thread_id}, {"seq": True}, sort=[("seq", -1)])
            run = run.evolve(seq=last["seq"] + 1 if last else 1)
            try:
                await self._runs.insert_one(_document(run))
            except DuplicateKeyError:
                if await self.active_id(run.thread_id):
                    raise ThreadBusy from None
                continue  # somebody took the place in the list, and is done already
            return run
        raise Stale(f"could not add a run to {run.thread_id}")

    async def active_id(self, thread_id: str) -> str | None:
        """Return the id of the thread's active run, if it has one."""
        found = await self._runs.find_one({"thread_id": thread_id, "active": True}, {"_id": True})
        return found["_id"] if found else None

    async def get(self, run_id: str) -> Run | None:
        document = await self._runs.find_one({"_id": run_id})
        return parse(document) if document else None

    async def page(self, thread_id: str, query: PageQuery) -> tuple[list[Run], bool]:
        scope = {"thread_id": thread_id}
        page: Page = await find_page(self._runs, scope, query, owner=scope)
        return [parse(document) for document in page.documents], page.has_more

    async def save(self, before: Run, after: Run, *, now: float) -> Run:
        """Write what changed from ``before`` to ``after``, provided nobody has written in between.

        Raises:
            Stale: somebody has. Read again and decide again.
        """
        after = after.evolve(version=before.version + 1)
        update = _update(before, after, now)
        result = await self._runs.update_one({"_id": before.id, "version": before.version}, update)
        if result.matched_count == 0:
            raise Stale(before.id)
        return after

    async def change(self, run: Run, step: Callable[[Run], Run], *, now: float) -> tuple[Run, bool]:
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
                    return await self.save(run, after, now=now), True
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

    async def heartbeat(self, owner: str, wake_at: float) -> None:
        """Keep every run that ``owner`` works on from being taken over until ``wake_at``."""
        await self._runs.update_many({"owner": owner, "active": True}, {"$set": {"wake_at": wake_at}})

    async def cancelling(self, owner: str) -> list[str]:
        """Return the ids of the owner's runs that a client wants cancelled."""
        found = self._runs.find({"owner": owner, "active": True, "status": "cancelling"}, {"_id": True})
        return [document["_id"] async for document in found]

    async def due(self, now: float, *, limit: int = 50) -> list[Run]:
        """Return active runs that need a look: woken, expired, or overdue in their cancellation."""
        due: dict[str, Run] = {}
        for field in ("wake_at", "overdue_at"):
            found = self._runs.find({"active": True, field: {"$lte": now}}).limit(limit)
            due |= {document["_id"]: parse(document) async for document in found}
        return list(due.values())

    async def mark_published(self, run: Run) -> None:
        """Note how far the run's events reached the broker; forget it among the unpublished if all did."""
        update: dict[str, Any] = {"$set": {"published": run.published.model_dump()}}
        if run.published.n == len(run.events):
            update["$unset"] = {"unpublished": True}
        await self._runs.update_one({"_id": run.id, "version": run.version}, update)

    async def unpublished(self, touched_before: float, *, limit: int = 100) -> list[Run]:
        """Return runs with events that nobody saw on their way to the broker."""
        query = {"unpublished": True, "touched_at": {"$lte": touched_before}}
        return [parse(document) async for document in self._runs.find(query).limit(limit)]

    async def publish_again(self, generation: str, touched_after: float) -> int:
        """Mark what only a forgotten broker of ``generation`` has seen; return how many runs that are.

        What is still marked as unpublished is published anyway, and to the new broker from its first event.
        """
        seen = {
            "unpublished": None,
            "touched_at": {"$gte": touched_after},
            "published.generation": generation,
        }
        again = {"$set": {"unpublished": True, "touched_at": 0}}
        return int((await self._runs.update_many(seen, again)).modified_count)


def parse(document: Document) -> Run:
    settings = Settings.model_validate_json(document["settings"])
    return Run.model_validate({**document, "id": document["_id"], "settings": settings})


def _document(run: Run) -> Document:
    fields = run.model_dump(mode="json", exclude={"id", "settings"})
    # As text: a function's schema may hold names that mean something to the driver, such as $ref.
    fields["settings"] = run.settings.model_dump_json()
    kept = {"active": True, "unpublished": True, "touched_at": run.wake_at, "overdue_at": run.overdue_at}
    return {"_id": run.id, **fields, **kept}


def _update(before: Run, after: Run, now: float) -> Document:
    changed = {
        name
        for name in Run.model_fields
        if name not in FIXED and getattr(before, name) is not getattr(after, name)
    }
    changed.add("published")  # announcing moves it in memory; it is stored with the next change
    update: Document = {"$set": after.model_dump(mode="json", include=changed) | {"touched_at": now}}
    new = after.events[len(before.events) :]
    if new:
        update["$set"]["unpublished"] = True
        update["$push"] = {APPENDED: {"$each": [event.model_dump(mode="json") for event in new]}}
    if "cancel_by" in changed:
        update["$set"]["overdue_at"] = after.overdue_at
    if after.ended:
        update["$unset"] = {"active": True, "cancel_by": True}
        update["$set"].pop("cancel_by", None)
    return update
