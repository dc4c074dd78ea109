"""The generations of brokers that this deployment has published to."""

from shared.stores.database import Database


class BrokerStore:
    def __init__(self, db: Database) -> None:
        self._brokers = db["brokers"]

    async def others(self, generation: str) -> list[str]:
        """Note ``generation``; return the other ones that were noted before."""
        await self._brokers.update_one({"_id": generation}, {"$set": {"_id": generation}}, upsert=True)
        found = self._brokers.find({})
        return [document["_id"] async for document in found if document["_id"] != generation]

    async def forget(self, generation: str) -> None:
        await self._brokers.delete_one({"_id": generation})
