"""Which slot (partition of ``run-stream``) this process may call its own, decided in MongoDB."""

import asyncio
import logging
import random

from services.gateway.stream.pace import Pace
from shared import clock
from shared.backoff import backoff_s
from shared.failpoints import failpoint
from shared.stores.database import Database, Document, DuplicateKeyError, PyMongoError
from shared.topics import RUN_STREAM

log = logging.getLogger(__name__)

RELEASE_S = 2.0


class SlotLease:
    """One document a slot: {_id: slot, owner, until (Unix seconds)}.

    A slot that two processes share is no harm, only work: frames name the streams they are
    for. So clocks that differ, and more than 64 processes, are survived.
    """

    def __init__(self, db: Database, owner: str, pace: Pace) -> None:
        self._slots = db["gateway_slots"]
        self._owner = owner
        self._pace = pace
        self._slot: int | None = None  # None while shared

    async def take(self) -> int:
        """Claim a slot, as soon as the store answers; share one if all are taken."""
        attempt = 0
        while True:
            try:
                return await self._claim()
            except PyMongoError as error:
                attempt += 1
                log.warning("no slot yet: the store is away", exc_info=error)
                await asyncio.sleep(backoff_s(attempt, first_s=0.5, most_s=self._pace.renew_s))

    async def hold(self) -> None:
        """Renew the lease; return once it is lost. A shared slot is never lost."""
        while True:
            await asyncio.sleep(self._pace.renew_s)
            if self._slot is None:
                continue
            try:
                mine = {"_id": self._slot, "owner": self._owner}
                result = await self._slots.update_one(mine, {"$set": {"until": self._until()}})
                failpoint("gateway.slot_renewed")
            except PyMongoError as error:  # whoever wants the slot cannot take it now either
                log.warning("the slot's lease was not renewed", exc_info=error)
                continue
            if result.matched_count == 0:
                log.warning("the slot was taken by another process", extra={"slot": self._slot})
                self._slot = None
                return

    async def release(self) -> None:
        if self._slot is None:
            return
        mine = {"_id": self._slot, "owner": self._owner}
        self._slot = None
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._slots.delete_one(mine)
        except (PyMongoError, TimeoutError) as error:
            log.warning("the slot's lease is left to lapse", exc_info=error)

    async def _claim(self) -> int:
        taken = {slot["_id"]: slot async for slot in self._slots.find({})}
        free = [slot for slot in range(RUN_STREAM.partitions) if slot not in taken]
        random.shuffle(free)  # processes that start together seldom collide
        for slot in free:
            if await self._insert(slot):
                return self._won(slot)
        for lapsed in sorted(taken.values(), key=lambda slot: float(slot["until"])):
            if lapsed["until"] < clock.now() and await self._succeed(lapsed):
                return self._won(lapsed["_id"])
        slot = random.randrange(RUN_STREAM.partitions)
        log.warning("every slot is taken; this process shares one", extra={"slot": slot})
        return slot

    async def _insert(self, slot: int) -> bool:
        try:
            await self._slots.insert_one({"_id": slot, "owner": self._owner, "until": self._until()})
        except DuplicateKeyError:
            return False
        return True

    async def _succeed(self, lapsed: Document) -> bool:
        """Take over from an owner that did not renew, unless it just did."""
        mine = {"$set": {"owner": self._owner, "until": self._until()}}
        return (await self._slots.update_one(lapsed, mine)).matched_count == 1

    def _won(self, slot: int) -> int:
        self._slot = slot
        failpoint("gateway.slot_leased")
        log.info("leased a slot", extra={"slot": slot})
        return slot

    def _until(self) -> float:
        return clock.now() + self._pace.lease_s
