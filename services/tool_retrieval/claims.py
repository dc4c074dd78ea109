"""Who works on which file of which vector store, and how far it is. One compare-and-set each.

``gen`` counts the claims: what an owner writes is written under its own, so that one that was presumed
dead changes nothing any more. What a file needs is in its document:

not ``live``                        its windows are to be removed from the index
``in_progress``                     it is to be taken in
``completed`` with ``refresh``      it is to be taken in anew, and found as it was until then
anything else                       generations that do not count are to be removed
"""

from collections.abc import Mapping
from typing import Any

from services.tool_retrieval.parsing.errors import ErrorCode
from shared import clock
from shared.stores.database import Database, Document
from shared.stores.files import NEVER

MOST_ATTEMPTS = 5
GIVEN_UP = "The file could not be processed: the server failed each time. Add it again to try once more."
CLEAN_AFTER_S = 30.0
AT_ONCE = 200  # documents to forget in one write
STATE = ("file_id", "live", "status", "gen", "active_gen", "embedder", "until")


class FileClaims:
    def __init__(self, db: Database, owner: str, lease_s: float) -> None:
        self._files = db["vector_store_files"]
        self._owner = owner
        self._lease_s = lease_s

    async def get(self, name: str) -> Document | None:
        return await self._files.find_one({"_id": name})

    async def claim(self, file: Document, now: float) -> Document | None:
        """Take ``file``, as just read, to take it in; None if somebody has it, or took it first."""
        if file["until"] > now:
            return None
        seen = {"_id": file["_id"], "live": True, "status": file["status"], "gen": file["gen"]}
        seen["until"] = file["until"]
        taken = {
            "gen": file["gen"] + 1,
            "owner": self._owner,
            "until": now + self._lease_s,
            "wake_at": now + self._lease_s,
            "attempts": file["attempts"] + 1,
            "stage": "parsing",
            "stages": {},
        }
        result = await self._files.update_one(seen, {"$set": taken})
        return {**file, **taken} if result.matched_count else None

    async def renew(self, file: Document, now: float) -> bool:
        until = now + self._lease_s
        return await self._change(file, {"until": until, "wake_at": until})

    async def set_stage(self, file: Document, stage: str, stages: Mapping[str, float]) -> bool:
        return await self._change(file, {"stage": stage, "stages": dict(stages)})

    async def complete(self, file: Document, fields: Mapping[str, Any], now: float) -> bool:
        """Let searches show this generation. ``fields``: usage_bytes, chunks, tokens, embedder, stages."""
        older = file["gen"] > 1
        done = {
            **fields,
            "status": "completed",
            "last_error": None,
            "active_gen": file["gen"],
            "stage": None,
            "refresh": False,
            "attempts": 0,
            "until": 0.0,
            "wake_at": now + CLEAN_AFTER_S if older else NEVER,
        }
        return await self._change(file, done)

    async def fail(self, file: Document, code: ErrorCode, message: str) -> bool:
        """It will not be taken in. One that was before stays as it was."""
        failed: dict[str, Any] = {"stage": None, "until": 0.0, "refresh": False}
        if file["status"] == "in_progress":
            failed |= {"status": "failed", "last_error": {"code": code, "message": message}}
        failed["wake_at"] = clock.now() + CLEAN_AFTER_S if file["gen"] > 1 else NEVER
        return await self._change(file, failed)

    async def release(self, file: Document, at: float, *, counts: bool) -> None:
        """Let somebody take it from ``at`` on; whether this attempt ``counts`` as one that failed."""
        attempts = file["attempts"] if counts else file["attempts"] - 1
        await self._change(file, {"until": 0.0, "wake_at": at, "attempts": attempts})

    async def settle(self, file: Document) -> None:
        """Nothing is left to do for it, unless it has changed since it was read."""
        seen = {"_id": file["_id"], "live": file["live"], "status": file["status"], "gen": file["gen"]}
        seen["wake_at"] = file["wake_at"]
        await self._files.update_one(seen, {"$set": {"wake_at": NEVER, "stage": None}})

    async def cancel(self, file: Document) -> None:
        """Its store is gone."""
        seen = {"_id": file["_id"], "status": "in_progress", "gen": file["gen"]}
        await self._files.update_one(
            seen, {"$set": {"status": "cancelled", "stage": None, "wake_at": NEVER, "until": 0.0}}
        )

    async def refresh(self, name: str, gen: int, now: float) -> bool:
        """Have a completed file taken in anew."""
        seen = {"_id": name, "live": True, "status": "completed", "gen": gen}
        again = {"refresh": True, "wake_at": now, "attempts": 0}
        return (await self._files.update_one(seen, {"$set": again})).matched_count > 0

    async def due(self, now: float, *, limit: int = 50) -> list[Document]:
        return await self._files.find({"wake_at": {"$lte": now}}).limit(limit).to_list(limit)

    async def of_store(self, vector_store_id: str) -> dict[str, Document]:
        """Return what is known of all files of a store that are live, by their ids; ``STATE`` only."""
        scope = {"vector_store_id": vector_store_id, "live": True}
        found = self._files.find(scope, dict.fromkeys(STATE, True))
        return {file["file_id"]: file async for file in found}

    async def attributes(self, vector_store_id: str) -> dict[str, Document]:
        """Return the attributes of all files of a store that searches may show, by their ids."""
        scope = {"vector_store_id": vector_store_id, "live": True}
        found = self._files.find(scope, {"file_id": True, "attributes": True, "active_gen": True})
        return {file["file_id"]: file["attributes"] or {} async for file in found if file["active_gen"]}

    async def many(self, project_id: str, names: list[str]) -> dict[str, Document]:
        """Return those of ``names`` that searches may show."""
        query = {"_id": {"$in": names}, "project_id": project_id, "live": True}
        return {file["_id"]: file async for file in self._files.find(query) if file["active_gen"]}

    async def forget_store(self, vector_store_id: str) -> None:
        """A store was deleted, and its index is gone: forget what was in it. Safe to repeat."""
        scope = {"vector_store_id": vector_store_id}
        while found := await self._files.find(scope, {"_id": True}).limit(AT_ONCE).to_list(AT_ONCE):
            await self._files.delete_many({"_id": {"$in": [file["_id"] for file in found]}})

    async def _change(self, file: Document, changes: Mapping[str, Any]) -> bool:
        mine = {"_id": file["_id"], "live": True, "gen": file["gen"], "owner": self._owner}
        mine["status"] = file["status"]
        return (await self._files.update_one(mine, {"$set": dict(changes)})).matched_count > 0
