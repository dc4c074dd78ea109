"""API keys in MongoDB: a fingerprint of each, its project, and what it may."""

from shared.runs.model import Json
from shared.stores.database import Database, Document


class KeyStore:
    """Documents: {_id: kid, fingerprint, project_id, name, scopes, limits, created_at, expires_at,
    revoked_at, last_used_at}; times in Unix seconds, None for never.
    """

    def __init__(self, db: Database) -> None:
        self._keys = db["api_keys"]

    async def add(self, kid: str, fields: Json) -> None:
        await self._keys.insert_one({"_id": kid, **fields, "revoked_at": None, "last_used_at": None})

    async def get(self, kid: str) -> Document | None:
        return await self._keys.find_one({"_id": kid})

    async def all(self) -> list[Document]:
        """Return every key, also the revoked ones, the oldest first."""
        found = [key async for key in self._keys.find({})]
        return sorted(found, key=lambda key: float(key["created_at"]))

    async def revoke(self, kid: str, now: int) -> bool:
        """Make it a key no longer; whether this call did."""
        result = await self._keys.update_one({"_id": kid, "revoked_at": None}, {"$set": {"revoked_at": now}})
        return result.matched_count > 0

    async def used(self, kid: str, now: int) -> None:
        await self._keys.update_one({"_id": kid}, {"$set": {"last_used_at": now}})
