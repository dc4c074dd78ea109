"""Which tables the index has, when each is to be tidied up, and when held against its files.

{_id: its name, vector_store_id, embedder, dim, commits, wake_at (tidy it then), audit_at}. In MongoDB, since
an index on shared storage cannot be listed cheaply, and so that one worker at a time looks after each table.
"""

from contextlib import suppress

from services.tool_retrieval.index.index import Table
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.files import NEVER

COMMITS = 20  # after which it is tidied at once
QUIET_S = 60.0  # or else after this time


class TableStore:
    def __init__(self, db: Database) -> None:
        self._tables = db["index_tables"]

    async def create_indexes(self) -> None:
        for key in ("vector_store_id", "wake_at", "audit_at"):
            await self._tables.create_index([(key, ASCENDING)])

    async def note(self, table: Table, audit_at: float) -> None:
        """Make ``table`` known, before anything is in it."""
        fresh = {
            "_id": table.name,
            "vector_store_id": table.store_id,
            "embedder": table.embedder,
            "dim": table.dim,
            "commits": 0,
            "wake_at": NEVER,
            "audit_at": audit_at,
        }
        if await self._tables.find_one({"_id": table.name}) is None:
            with suppress(DuplicateKeyError):
                await self._tables.insert_one(fresh)

    async def any(self) -> bool:
        return await self._tables.find_one({"audit_at": {"$gt": 0}}) is not None

    async def of_store(self, vector_store_id: str) -> list[Table]:
        return [_table(found) async for found in self._tables.find({"vector_store_id": vector_store_id})]

    async def committed(self, table: Table, now: float) -> None:
        """Note a change of its content."""
        found = await self._tables.find_one({"_id": table.name})
        if found is None:
            return
        at_once = (found["commits"] + 1) % COMMITS == 0
        wake_at = now if at_once else min(found["wake_at"], now + QUIET_S)
        update = {"$inc": {"commits": 1}, "$set": {"wake_at": wake_at}}
        await self._tables.update_one({"_id": table.name}, update)

    async def claim_untidy(self, now: float, within_s: float, *, limit: int = 20) -> list[Table]:
        """Return tables that are to be tidied; they are ours for ``within_s`` seconds."""
        return await self._claim("wake_at", now, now + within_s, limit)

    async def tidied(self, table: Table, now: float, within_s: float) -> None:
        """Nothing is to be done until the next change, if none has come since the claim."""
        mine = {"_id": table.name, "wake_at": {"$gt": now, "$lte": now + within_s}}
        await self._tables.update_one(mine, {"$set": {"wake_at": NEVER}})

    async def claim_unaudited(self, now: float, every_s: float, *, limit: int = 20) -> list[Table]:
        return await self._claim("audit_at", now, now + every_s, limit)

    async def audit_all(self, now: float) -> None:
        """Let all be held against their files soon."""
        await self._tables.update_many({"audit_at": {"$gt": now}}, {"$set": {"audit_at": now}})

    async def forget(self, table: Table) -> None:
        await self._tables.delete_one({"_id": table.name})

    async def _claim(self, field: str, now: float, until: float, limit: int) -> list[Table]:
        due: list[Document] = await self._tables.find({field: {"$lte": now}}).limit(limit).to_list(limit)
        claimed = []
        for found in due:
            seen = {"_id": found["_id"], field: found[field]}
            if (await self._tables.update_one(seen, {"$set": {field: until}})).matched_count:
                claimed.append(_table(found))
        return claimed


def _table(found: Document) -> Table:
    return Table(found["vector_store_id"], found["embedder"], found["dim"])
