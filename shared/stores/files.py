"""Documents of files in MongoDB.

A document is there before the bytes are, so that whatever happens, somebody knows of them:

``arriving``  bytes are being written; not yet a file
``there``     a file: its bytes are complete
``going``     deleted; what it leaves behind is being removed
``gone``      nothing is left but the place in the list, so that a cursor on it stays valid

``due`` is when a sweeper should look at one that is arriving or going. ``live`` marks what
lists show; ``gone_at`` is when a file expires, and far away for one that does not.
"""

from collections.abc import Iterable
from typing import Any

from shared.ids import new_sequence
from shared.runs.model import Json
from shared.stores.database import ASCENDING, Database, Document
from shared.stores.page import PageQuery, find_page

NEVER = 2**53
SILENT_S = 600.0  # an arriving file that nobody renewed for this long was given up
REMOVAL_S = 60.0  # a removal that takes longer is begun anew


class FileStore:
    def __init__(self, db: Database) -> None:
        self._files = db["files"]

    async def create_indexes(self) -> None:
        for keys in (
            ("project_id", "live", "seq"),
            ("project_id", "live", "purpose", "seq"),
            ("live", "gone_at"),
            ("state", "due"),
        ):
            await self._files.create_index([(key, ASCENDING) for key in keys])

    async def expect(self, file_id: str, project_id: str, now: float) -> None:
        """Bytes for a new file are about to come, or once more after an attempt that was lost."""
        arriving = {"_id": file_id, "project_id": project_id, "state": "arriving"}
        await self._files.update_one(arriving, {"$set": {"due": now + SILENT_S}}, upsert=True)

    async def renew(self, file_id: str, now: float) -> None:
        """They are still coming."""
        await self._files.update_one({"_id": file_id, "state": "arriving"}, {"$set": {"due": now + SILENT_S}})

    async def complete(self, file_id: str, project_id: str, fields: Json, now: float) -> Document | None:
        """Make it a file; None if it was given up meanwhile.

        ``fields``: purpose, filename, bytes, expires_at.
        """
        file = {
            **fields,
            "state": "there",
            "live": True,
            "seq": new_sequence(),
            "created_at": int(now),
            "gone_at": fields["expires_at"] or NEVER,
        }
        result = await self._files.update_one(
            {"_id": file_id, "state": "arriving"}, {"$set": file, "$unset": {"due": True}}
        )
        return {"_id": file_id, "project_id": project_id, **file} if result.matched_count else None

    async def get(self, project_id: str, file_id: str, now: float) -> Document | None:
        return await self._files.find_one(
            {"_id": file_id, "project_id": project_id, "live": True, "gone_at": {"$gt": now}}
        )

    async def get_many(self, project_id: str, file_ids: Iterable[str], now: float) -> dict[str, Document]:
        """Return those that are there, by their ids."""
        query = {"_id": {"$in": list(file_ids)}, "project_id": project_id, "live": True}
        found = self._files.find({**query, "gone_at": {"$gt": now}})
        return {document["_id"]: document async for document in found}

    async def page(
        self, project_id: str, query: PageQuery, *, purpose: str | None, now: float
    ) -> tuple[list[Document], bool]:
        """What has expired and is not swept yet makes a page shorter; no index could leave it out."""
        scope: dict[str, Any] = {"project_id": project_id, "live": True}
        if purpose is not None:
            scope["purpose"] = purpose
        page = await find_page(self._files, scope, query, owner={"project_id": project_id})
        return [file for file in page.documents if file["gone_at"] > now], page.has_more

    async def delete(self, file: Document, now: float) -> bool:
        """Make it no file any more; whether this call did. What it leaves is to be removed."""
        return await self._let_go({"_id": file["_id"], "state": "there"}, now)

    async def give_up(self, file_id: str, now: float) -> bool:
        """It will not be complete; whether this call says so first."""
        return await self._let_go({"_id": file_id, "state": "arriving"}, now)

    async def claim_leftovers(self, now: float, *, limit: int = 100) -> list[Document]:
        """Return what is to be removed: expired, given up, or not removed to the end. It is ours for now."""
        expired = {"live": True, "gone_at": {"$lte": now}}
        claimed = []
        for query in (expired, *({"state": state, "due": {"$lte": now}} for state in ("arriving", "going"))):
            for file in await self._files.find(query).limit(limit).to_list(limit):
                same = {"_id": file["_id"], "state": file["state"]}
                if file["state"] != "there":
                    same["due"] = file["due"]
                if await self._let_go(same, now):
                    claimed.append(file)
        return claimed

    async def removed(self, file_id: str) -> None:
        """Nothing is left of it."""
        result = await self._files.update_one(
            {"_id": file_id, "state": "going", "live": False},
            {"$set": {"state": "gone"}, "$unset": {"due": True}},
        )
        if result.matched_count == 0:  # it never was in a list
            await self._files.delete_one({"_id": file_id, "state": "going"})

    async def _let_go(self, same: Document, now: float) -> bool:
        going: Document = {"state": "going", "due": now + REMOVAL_S}
        update: Document = {"$set": going}
        if same["state"] == "there":
            going["live"] = False
            update["$unset"] = {"filename": True, "bytes": True, "expires_at": True, "gone_at": True}
        result = await self._files.update_one(same, update)
        return result.matched_count > 0
