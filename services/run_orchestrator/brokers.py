"""The generations of brokers that this deployment has published to."""

from shared.stores.database import Database


class BrokerStore:
    def __init__(self, db: Database) -> None:
        self._brokers = db["brokers"]

    async def note(self, generation: str, now: float) -> None:
        """This broker is there now: to be said before anything counts as published to it."""
        there = {"$set": {"at": now}, "$unset": {"replaced_at": True}}
        await self._brokers.update_one({"_id": generation}, there, upsert=True)

    async def replaced(self, generation: str, now: float) -> dict[str, float]:
        """Return the generations that were there before this one, and since when each is known to be gone."""
        noted = {document["_id"]: document async for document in self._brokers.find({})}
        if generation not in noted:
            return {}
        at = noted.pop(generation)["at"]
        gone = {other: document for other, document in noted.items() if document.get("at", 0.0) < at}
        for other, document in gone.items():
            if "replaced_at" not in document:
                await self._brokers.update_one({"_id": other}, {"$set": {"replaced_at": now}})
        return {other: document.get("replaced_at", now) for other, document in gone.items()}

    async def forget(self, generation: str) -> None:
        await self._brokers.delete_one({"_id": generation})
