"""Objects that belong to a project: what the stores of assistants and threads have in common."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from shared.errors import Stale
from shared.runs.model import Json
from shared.stores.database import ASCENDING, Collection, Document, DuplicateKeyError

MAX_TRIES = 8
CODE_FILES = "tool_resources.code_interpreter.file_ids"
SEARCHED = "tool_resources.file_search.vector_store_ids"


class OwnedStore:
    def __init__(self, collection: Collection) -> None:
        self._objects = collection

    async def create_indexes(self) -> None:
        keys = ("project_id", "live", "seq")
        await self._objects.create_index([(key, ASCENDING) for key in keys])
        await self._objects.create_index(SEARCHED, sparse=True)  # few name a vector store

    async def add(self, document: Document) -> None:
        """Store it. A repeat of the same write changes nothing."""
        with suppress(DuplicateKeyError):
            await self._objects.insert_one({**document, "live": True, "version": 0})

    async def get(self, project_id: str, object_id: str) -> Document | None:
        found = await self._objects.find_one({"_id": object_id})  # alone: the store finds that quickest
        return found if found and found["project_id"] == project_id and found["live"] else None

    async def change(
        self, project_id: str, object_id: str, step: Callable[[Document], Json]
    ) -> Document | None:
        """Set what ``step`` returns for the object as it is; again if somebody else was faster.

        Returns the object as it now is; None if there is none.

        Raises:
            Stale: it lost the race too often.
        """
        for _ in range(MAX_TRIES):
            before = await self.get(project_id, object_id)
            if before is None:
                return None
            changes = {**step(before), "version": before["version"] + 1}
            same: dict[str, Any] = {"_id": object_id, "live": True, "version": before["version"]}
            result = await self._objects.update_one(same, {"$set": changes})
            if result.matched_count:
                return {**before, **changes}
        raise Stale(object_id)

    async def pull(self, project_id: str, path: str, value: str) -> None:
        """Take ``value`` out of every list at ``path``; with ``list.id`` what has it as its ``id``."""
        objects = path.endswith(".id")
        out = {path.removesuffix(".id"): {"id": value}} if objects else {path: value}
        await self._objects.update_many(
            {"project_id": project_id, path: value}, {"$pull": out, "$inc": {"version": 1}}
        )

    async def names_vector_store(self, project_id: str, vector_store_id: str) -> bool:
        """Whether one of them names it."""
        naming = {SEARCHED: vector_store_id, "project_id": project_id}
        return await self._objects.find_one(naming, {"_id": True}) is not None

    async def forget_vector_store(self, project_id: str, vector_store_id: str) -> None:
        """None of them names the vector store any more."""
        await self.pull(project_id, SEARCHED, vector_store_id)

    async def delete(self, project_id: str, object_id: str) -> bool:
        """Leave nothing but the place in the list; whether there was something to delete."""
        document = await self.get(project_id, object_id)
        if document is None:
            return False
        kept = ("_id", "project_id", "seq", "live", "created_at")
        gone = {name: True for name in document if name not in kept}
        update = {"$set": {"live": False}, "$unset": gone}
        result = await self._objects.update_one({"_id": object_id, "live": True}, update)
        return result.matched_count > 0
