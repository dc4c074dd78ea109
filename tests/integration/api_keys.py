"""API keys put into the store of a running gateway."""

import asyncio
import time
from typing import Any

from services.gateway.keys import fingerprint, new_key
from services.gateway.stores.keys import KeyStore
from shared.stores.database import Document, connect

PEPPER = "a pepper of the tests"


def make_key(mongo_url: str, database: str, project: str, **fields: Any) -> str:
    """Store a key of ``project`` that may read and write; return it."""
    kid, key = new_key()
    made = {
        "fingerprint": fingerprint(key, PEPPER),
        "project_id": project,
        "name": "a test's",
        "scopes": ["read", "write"],
        "limits": {},
        "created_at": int(time.time()),
        "expires_at": None,
        **fields,
    }

    async def add() -> None:
        db = connect(mongo_url, database)
        await KeyStore(db).add(kid, made)
        db.client.close()

    asyncio.run(add())
    return key


def revoke_key(mongo_url: str, database: str, kid: str) -> None:
    async def revoke() -> None:
        db = connect(mongo_url, database)
        assert await KeyStore(db).revoke(kid, int(time.time()))
        db.client.close()

    asyncio.run(revoke())


def all_keys(mongo_url: str, database: str) -> list[Document]:
    async def read() -> list[Document]:
        db = connect(mongo_url, database)
        found = await KeyStore(db).all()
        db.client.close()
        return found

    return asyncio.run(read())
