"""Probes: is the process alive, can it serve."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from services.gateway.announcer import Announcer
from shared.stores.database import Database, PyMongoError

STORE_S = 2.0


def build_router(db: Database, announcer: Announcer) -> APIRouter:
    router = APIRouter(tags=["Health"])

    @router.get("/livez")
    async def livez() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Ready with the store alone. While Kafka is away, what is new waits in the store."""
        store = await reachable(db)
        status = "unavailable" if not store else "ok" if announcer.connected else "degraded"
        parts = {"store": "ok" if store else "away", "kafka": "ok" if announcer.connected else "away"}
        return JSONResponse({"status": status, **parts}, 200 if store else 503)

    return router


async def reachable(db: Database) -> bool:
    try:
        async with asyncio.timeout(STORE_S):
            await db.command("ping")
    except (PyMongoError, TimeoutError):
        return False
    return True
