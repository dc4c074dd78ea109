"""The store's own count of what it was asked."""

from shared.stores.database import Database

WRITES = ("insert", "update", "delete")
READS = ("query", "getmore")


async def commands(db: Database) -> dict[str, int]:
    counted = (await db.client.admin.command("serverStatus"))["opcounters"]
    return {name: counted[name] for name in (*WRITES, *READS)}
