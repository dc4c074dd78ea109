"""Vector stores in MongoDB: what is said of them. Their files are in ``vector_store_files.py``.

One that has expired is still shown, and so are its files; one that was deleted (``live`` is false)
keeps its place in the list, so that a cursor on it stays valid. Neither is searched: whoever
searches asks ``searchable`` first, since the files of a store are not touched when it goes.

``gone_at``  when it expires, or ``NEVER``
``wake_at``  when a sweeper should look: an expired or deleted one is in the index until ``dropped``
``most_files``  at least as many as it has: so that to add one, they need not be counted
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from shared.errors import Stale
from shared.ids import new_sequence
from shared.runs.model import Json
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.files import NEVER
from shared.stores.page import PageQuery, find_page

DAY_S = 86_400
MAX_TRIES = 8
RING_AGAIN_S = 60.0  # how long a worker may take to drop one


class VectorStores:
    def __init__(self, db: Database) -> None:
        self._stores = db["vector_stores"]

    async def create_indexes(self) -> None:
        for keys in (("project_id", "live", "seq"), ("wake_at",)):
            await self._stores.create_index([(key, ASCENDING) for key in keys])

    async def add(self, vector_store_id: str, project_id: str, fields: Json, now: float) -> Document:
        """Store a new one; return what is stored. A repeat of the same write changes nothing.

        ``fields``: name, description, metadata, expires_after ({anchor, days} or None), helper.
        """
        document = {
            "_id": vector_store_id,
            "project_id": project_id,
            "seq": new_sequence(),
            "live": True,
            "version": 0,
            "created_at": int(now),
            "last_active_at": int(now),
            "most_files": 0,
            **fields,
        }
        document |= _times(document)
        try:
            await self._stores.insert_one(document)
        except DuplicateKeyError:
            return await self._stores.find_one({"_id": vector_store_id}) or document
        return document

    async def get(self, project_id: str, vector_store_id: str) -> Document | None:
        """Return one that was not deleted; it may have expired."""
        return await self._stores.find_one({"_id": vector_store_id, "project_id": project_id, "live": True})

    async def get_many(self, project_id: str, vector_store_ids: Iterable[str]) -> dict[str, Document]:
        """Return those that were not deleted, by their ids; they may have expired."""
        query = {"_id": {"$in": list(vector_store_ids)}, "project_id": project_id, "live": True}
        return {document["_id"]: document async for document in self._stores.find(query)}

    async def searchable(self, project_id: str, vector_store_ids: Iterable[str], now: float) -> list[str]:
        """Return those of ``vector_store_ids`` that are neither deleted nor expired."""
        wanted = list(vector_store_ids)
        found = await self.get_many(project_id, wanted)
        return [each for each in wanted if each in found and not has_expired(found[each], now)]

    async def page(self, project_id: str, query: PageQuery) -> tuple[list[Document], bool]:
        scope = {"project_id": project_id, "live": True}
        page = await find_page(self._stores, scope, query, owner={"project_id": project_id})
        return page.documents, page.has_more

    async def change(
        self, project_id: str, vector_store_id: str, step: Callable[[Document], Json]
    ) -> Document | None:
        """Set what ``step`` returns for the store as it is; again if somebody else was faster.

        Returns the store as it now is; None if there is none.

        Raises:
            Stale: it lost the race too often.
        """
        for _ in range(MAX_TRIES):
            before = await self.get(project_id, vector_store_id)
            if before is None:
                return None
            changes = {**step(before), "version": before["version"] + 1}
            changes |= _times({**before, **changes})
            same = {"_id": vector_store_id, "live": True, "version": before["version"]}
            if (await self._stores.update_one(same, {"$set": changes})).matched_count:
                return {**before, **changes}
        raise Stale(vector_store_id)

    async def used(self, project_id: str, vector_store_ids: Iterable[str], now: float) -> None:
        """They were used by a run or a search: an expiry is counted from here. An expired one stays so."""

        def step(store: Document) -> Json:
            if has_expired(store, now) or store["last_active_at"] >= int(now):
                return {}
            return {"last_active_at": int(now)}

        for store in (await self.get_many(project_id, vector_store_ids)).values():
            if step(store):
                with suppress(Stale):  # then others have used it just now
                    await self.change(project_id, store["_id"], step)

    async def make_room(self, vector_store_id: str, files: int, *, most: int) -> bool:
        """Note that ``files`` come in; False if it was deleted, or may then have more than ``most``."""
        room = {"_id": vector_store_id, "live": True, "most_files": {"$lte": most - files}}
        return (await self._stores.update_one(room, {"$inc": {"most_files": files}})).matched_count > 0

    async def set_most_files(self, store: Document, files: int) -> None:
        """They were counted, unless some came in since ``store`` was read."""
        same = {"_id": store["_id"], "live": True, "most_files": store["most_files"]}
        await self._stores.update_one(same, {"$set": {"most_files": files}})

    async def delete(self, project_id: str, vector_store_id: str, now: float) -> bool:
        """Leave nothing but the place in the list; whether this call did. The index is to be dropped."""
        same = {"_id": vector_store_id, "project_id": project_id, "live": True}
        forgotten = ("name", "description", "metadata", "expires_after", "last_active_at")
        update = {
            "$set": {"live": False, "wake_at": now},
            "$unset": dict.fromkeys(forgotten, True),
        }
        return (await self._stores.update_one(same, update)).matched_count > 0

    async def claim_due(self, now: float, *, limit: int = 100) -> list[Document]:
        """Return expired and deleted ones that are still in the index; they are ours to ring for now."""
        found = await self._stores.find({"wake_at": {"$lte": now}}).limit(limit).to_list(limit)
        claimed = []
        for store in found:
            seen = {"_id": store["_id"], "wake_at": store["wake_at"]}
            later = {"$set": {"wake_at": now + RING_AGAIN_S}}
            if (await self._stores.update_one(seen, later)).matched_count:
                claimed.append(store)
        return claimed

    async def dropped(self, vector_store_id: str, now: float) -> bool:
        """Nothing of it is in the index any more; False if it is in use, and so should be there."""
        for gone in ({"live": False}, {"live": True, "gone_at": {"$lte": now}}):
            result = await self._stores.update_one(
                {"_id": vector_store_id, **gone}, {"$set": {"wake_at": NEVER}}
            )
            if result.matched_count:
                return True
        return False


def has_expired(store: Document, now: float) -> bool:
    return bool(store["gone_at"] <= now)


def _times(store: Document) -> dict[str, Any]:
    """When the store goes, and so when somebody should look at it."""
    policy = store["expires_after"]
    gone_at = store["last_active_at"] + policy["days"] * DAY_S if policy else NEVER
    return {"gone_at": gone_at, "wake_at": gone_at}
