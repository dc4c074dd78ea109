"""Batches of files put into vector stores together. Which files those are, their own documents say."""

from contextlib import suppress

from shared.stores.database import Database, Document, DuplicateKeyError


class FileBatchStore:
    """Documents: {_id, vector_store_id, created_at, cancelled}."""

    def __init__(self, db: Database) -> None:
        self._batches = db["vector_store_file_batches"]

    async def create_indexes(self) -> None:
        await self._batches.create_index("vector_store_id")

    async def add(self, batch_id: str, vector_store_id: str, now: float) -> Document:
        """Return what is stored. A repeat of the same write changes nothing."""
        batch = {"vector_store_id": vector_store_id, "created_at": int(now), "cancelled": False}
        with suppress(DuplicateKeyError):
            await self._batches.insert_one({"_id": batch_id, **batch})
        return await self.get(vector_store_id, batch_id) or {"_id": batch_id, **batch}

    async def get(self, vector_store_id: str, batch_id: str) -> Document | None:
        return await self._batches.find_one({"_id": batch_id, "vector_store_id": vector_store_id})

    async def cancel(self, batch_id: str) -> None:
        await self._batches.update_one({"_id": batch_id}, {"$set": {"cancelled": True}})

    async def forget_store(self, vector_store_id: str) -> None:
        await self._batches.delete_many({"vector_store_id": vector_store_id})
