"""What each API key has used of its limits, in MongoDB: the same for every gateway.

Whether something is still free is decided by the store: it is part of the filter of the write that takes it.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import Stale
from shared.stores.database import Database, Document, DuplicateKeyError

WINDOW_S = 60.0
MAX_TRIES = 20
RESERVED_S = 60.0  # a run that is not stored by then will not be


@dataclass(frozen=True)
class Window:
    """A minute of a key, begun by its first request. ``taken``: whether this one still had room."""

    taken: bool
    requests: int
    tokens: int
    until: float


class UsageStore:
    def __init__(self, db: Database) -> None:
        self._windows = db["usage_windows"]
        self._runs = db["reserved_runs"]

    async def spend(
        self, kid: str, *, most_requests: int, most_tokens: int, tokens: int, now: float
    ) -> Window:
        """Take one request, and ``tokens``, if both are left; a limit of 0 is none."""
        free: Document = {"_id": kid, "until": {"$gt": now}}
        if most_requests:
            free["requests"] = {"$lte": most_requests - 1}
        if most_tokens and tokens:
            free["tokens"] = {"$lte": most_tokens - tokens}
        for _ in range(MAX_TRIES):
            taken = await self._windows.update_one(free, {"$inc": {"requests": 1, "tokens": tokens}})
            found = await self._windows.find_one({"_id": kid})
            if found is None:
                await self._begin(kid, now)
            elif not taken.matched_count and found["until"] <= now:
                lapsed = {"_id": kid, "until": found["until"]}
                await self._windows.update_one(lapsed, {"$set": _empty(now)})
            elif taken.matched_count or not _matches(found, free):
                return Window(taken.matched_count > 0, found["requests"], found["tokens"], found["until"])
        raise Stale(f"could not count a request of {kid}")

    async def reserve_run(
        self, kid: str, run_id: str, *, most: int, now: float, ended: Callable[[str], Awaitable[bool | None]]
    ) -> bool:
        """Take one of ``most`` places for a run that is about to be stored; whether there was one.

        A place becomes free when ``ended`` says so of its run; None means that there is no such run.
        """
        place = {"place": secrets.token_hex(8), "run_id": run_id, "at": now}
        for _ in range(MAX_TRIES):
            taken = await self._runs.update_one(
                {"_id": kid, "count": {"$lte": most - 1}}, {"$push": {"runs": place}, "$inc": {"count": 1}}
            )
            if taken.matched_count:
                return True
            found = await self._runs.find_one({"_id": kid})
            if found is None:
                await self._insert_none(kid)
            elif not await self._free(found, now, ended):
                return False
        raise Stale(f"could not count the runs of {kid}")

    async def release_run(self, kid: str, run_id: str) -> None:
        """It was not stored after all."""
        if found := await self._runs.find_one({"_id": kid}):
            for place in found["runs"]:
                if place["run_id"] == run_id:
                    await self._give_back(kid, place["place"])

    async def _begin(self, kid: str, now: float) -> None:
        with suppress(DuplicateKeyError):  # else somebody was faster
            await self._windows.insert_one({"_id": kid, **_empty(now)})

    async def _insert_none(self, kid: str) -> None:
        with suppress(DuplicateKeyError):
            await self._runs.insert_one({"_id": kid, "count": 0, "runs": []})

    async def _free(self, found: Document, now: float, ended: Callable[[str], Awaitable[bool | None]]) -> int:
        freed = 0
        for place in found["runs"]:
            state = await ended(place["run_id"])
            if state or (state is None and place["at"] + RESERVED_S < now):
                await self._give_back(found["_id"], place["place"])
                freed += 1
        return freed

    async def _give_back(self, kid: str, place: str) -> None:
        await self._runs.update_one(
            {"_id": kid, "runs.place": place}, {"$pull": {"runs": {"place": place}}, "$inc": {"count": -1}}
        )


def _matches(found: Document, free: Document) -> bool:
    """Whether there is room after all: another gateway has just begun a new minute."""
    return all(found[name] <= free[name]["$lte"] for name in ("requests", "tokens") if name in free)


def _empty(now: float) -> Document:
    return {"until": now + WINDOW_S, "requests": 0, "tokens": 0}
