"""POST requests in MongoDB, so that one that comes again is not done again.

A record is there before the request is done, with the seed of all ids that the request will
give. ``owner`` is the gateway that does it, ``until`` how long that is believed without being
said again; 0 for one that was done, or broken off, without its answer arriving. ``gone_at`` is
when the record has lost its meaning. An answer that arrived takes its record away, unless the client
named the request itself.
"""

from collections.abc import Sequence

from shared.runs.model import Json
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError

NOBODY = ""


class RequestStore:
    def __init__(self, db: Database) -> None:
        self._requests = db["requests"]

    async def create_indexes(self) -> None:
        await self._requests.create_index([("request", ASCENDING), ("gone_at", ASCENDING)])
        await self._requests.create_index("gone_at")

    async def add(self, record: Document) -> bool:
        """Insert it; False if one of that id is there already."""
        try:
            await self._requests.insert_one(record)
        except DuplicateKeyError:
            return False
        return True

    async def get(self, record_id: str) -> Document | None:
        return await self._requests.find_one({"_id": record_id})

    async def unanswered(self, request: str, now: float) -> list[Document]:
        """Return the records of identical requests whose answers are not known to have arrived."""
        found = self._requests.find({"request": request, "gone_at": {"$gt": now}})
        return [record async for record in found]

    async def claim(self, record: Document, owner: str, until: float, gone_at: float) -> bool:
        """Become the one who does it, unless somebody else just has."""
        seen = {"_id": record["_id"], "owner": record["owner"], "until": record["until"]}
        mine = {"owner": owner, "until": until, "gone_at": gone_at}
        return (await self._requests.update_one(seen, {"$set": mine})).matched_count > 0

    async def renew(self, record_ids: Sequence[str], owner: str, until: float) -> None:
        mine = {"_id": {"$in": list(record_ids)}, "owner": owner}
        await self._requests.update_many(mine, {"$set": {"until": until}})

    async def let_go(self, record_id: str, owner: str, gone_at: float) -> None:
        """Its answer did not arrive: whoever sends it again may have it."""
        free = {"owner": NOBODY, "until": 0.0, "gone_at": gone_at}
        await self._requests.update_one({"_id": record_id, "owner": owner}, {"$set": free})

    async def keep_answer(self, record_id: str, owner: str, answer: Json) -> None:
        kept = {"owner": NOBODY, "until": 0.0, "answer": answer}
        await self._requests.update_one({"_id": record_id, "owner": owner}, {"$set": kept})

    async def forget(self, record_ids: Sequence[str], owner: str) -> None:
        await self._requests.delete_many({"_id": {"$in": list(record_ids)}, "owner": owner})

    async def forget_old(self, now: float) -> None:
        await self._requests.delete_many({"gone_at": {"$lte": now}})
