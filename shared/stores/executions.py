"""The ledger of calls: each is executed by one worker at a time, and its result is kept."""

from dataclasses import dataclass
from typing import Any

from shared.stores.database import ASCENDING, Database, DuplicateKeyError

KEEP_S = 24 * 3600


@dataclass(frozen=True)
class Claim:
    """What became of a request to execute a call.

    ``result``: it was executed before. ``wait_until``: another worker has it until then, at
    least. Neither: it is ours, for the ``attempt``-th time anybody began it.
    """

    attempt: int = 1
    result: dict[str, Any] | None = None
    wait_until: float | None = None

    @property
    def taken(self) -> bool:
        return self.result is None and self.wait_until is None


class ExecutionStore:
    def __init__(self, db: Database, owner: str, lease_s: float) -> None:
        self._executions = db["tool_executions"]
        self._owner = owner
        self._lease_s = lease_s
        self._held: set[str] = set()  # calls that this worker executes now

    async def create_indexes(self) -> None:
        await self._executions.create_index([("done", ASCENDING), ("at", ASCENDING)])

    async def claim(self, call_id: str, run_id: str, now: float) -> Claim:
        ours_already = call_id in self._held
        self._held.add(call_id)  # before anybody can see it in the store and take it for left behind
        claim = None
        try:
            claim = await self._claim(call_id, run_id, now, ours_already)
        finally:
            if not ours_already and (claim is None or not claim.taken):
                self._held.discard(call_id)
        return claim

    async def _claim(self, call_id: str, run_id: str, now: float, ours_already: bool) -> Claim:
        lease = {"owner": self._owner, "until": now + self._lease_s}
        try:
            fresh = {"_id": call_id, "run_id": run_id, "attempt": 1, "done": False, "at": now, **lease}
            await self._executions.insert_one(fresh)
            return Claim()
        except DuplicateKeyError:
            pass
        found = await self._executions.find_one({"_id": call_id})
        if found is None:
            return Claim(wait_until=now)
        if found["done"]:
            return Claim(found["attempt"], result=found["result"])
        if found["owner"] == self._owner and ours_already:
            return Claim(wait_until=now + self._lease_s)
        left_behind = found["owner"] == self._owner  # the store's answer was lost
        if found["until"] > now and not left_behind:
            return Claim(wait_until=found["until"])
        seen = {"_id": call_id, "done": False, "owner": found["owner"], "until": found["until"]}
        taken = await self._executions.update_one(seen, {"$set": {**lease, "attempt": found["attempt"] + 1}})
        return Claim(found["attempt"] + 1) if taken.matched_count else Claim(wait_until=now)

    async def finish(self, call_id: str, attempt: int, result: dict[str, Any]) -> bool:
        """Keep the result of an attempt; False if another worker has taken the call over."""
        mine = {"_id": call_id, "owner": self._owner, "attempt": attempt, "done": False}
        kept = await self._executions.update_one(mine, {"$set": {"done": True, "result": result}})
        self._held.discard(call_id)
        return kept.matched_count == 1

    async def release(self, call_id: str, attempt: int, *, ran: bool = True) -> None:
        """Let another worker take the call at once. An attempt that did not come to run the code is none."""
        self._held.discard(call_id)
        mine = {"_id": call_id, "owner": self._owner, "attempt": attempt, "done": False}
        await self._executions.update_one(
            mine, {"$set": {"owner": None, "until": 0.0, "attempt": attempt - (not ran)}}
        )

    async def heartbeat(self, now: float) -> None:
        """Renew the lease of every call that this worker executes."""
        if self._held:
            mine = {"_id": {"$in": list(self._held)}, "owner": self._owner, "done": False}
            await self._executions.update_many(mine, {"$set": {"until": now + self._lease_s}})

    async def forget_old(self, now: float) -> None:
        await self._executions.delete_many({"done": True, "at": {"$lt": now - KEEP_S}})
