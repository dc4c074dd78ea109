"""The embedded store as ``threadmill up`` starts it: what it acknowledged is there after it was killed."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.programs import STORE, Model
from deploy.local.stack import Options, Stack
from shared.stores.database import Database, PyMongoError, connect

WRITERS = 4
ENOUGH = 200  # acknowledged writes, then the store is killed


@pytest.mark.parametrize("sync", [False, True])
async def test_a_killed_store_keeps_what_it_acknowledged(tmp_path: Path, sync: bool) -> None:
    nowhere = Model(url="http://127.0.0.1:9/v1")
    options = Options(data=tmp_path, services=(), model=nowhere, sync=sync)
    async with Stack(options) as stack:
        db = connect(stack.mongo_url, "threadmill")
        acknowledged: list[str] = []
        enough = asyncio.Event()
        writers = [asyncio.create_task(_write(db, f"w{n}", acknowledged, enough)) for n in range(WRITERS)]
        async with asyncio.timeout(30):
            await enough.wait()
        await stack.kill(STORE)
        await asyncio.gather(*writers)
        await stack.start(STORE)

        kept = {document["_id"] async for document in db["written"].find({})}
        counted = {document["_id"]: document["n"] async for document in db["counted"].find({})}
        db.client.close()

    assert set(acknowledged) - kept == set()
    for name, n in counted.items():
        assert n >= len([each for each in acknowledged if each.startswith(f"{name}-")])


async def _write(db: Database, name: str, acknowledged: list[str], enough: asyncio.Event) -> None:
    """Insert and count until the store is gone."""
    n = 0
    try:
        while True:
            n += 1
            await db["counted"].update_one({"_id": name}, {"$inc": {"n": 1}}, upsert=True)
            await db["written"].insert_one({"_id": f"{name}-{n}"})
            acknowledged.append(f"{name}-{n}")
            if len(acknowledged) == ENOUGH:
                enough.set()
    except PyMongoError:
        return
