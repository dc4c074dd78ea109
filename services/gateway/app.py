"""Wires the gateway together. Nothing here decides anything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from services.gateway.announcer import Announcer
from services.gateway.auth import Door, Keys, Limits
from services.gateway.body import BodyLimit
from services.gateway.documents import document
from services.gateway.errors import add_error_handlers
from services.gateway.file_mentions import places
from services.gateway.gate import Gate
from services.gateway.headers import ResponseHeaders
from services.gateway.idempotency import Idempotency
from services.gateway.indexes import keep_indexes
from services.gateway.ledger import Ledger
from services.gateway.limits import RateLimits
from services.gateway.models import Models
from services.gateway.routes import (
    assistant_files,
    assistants,
    diagnosis,
    events,
    file_batches,
    files,
    health,
    message_files,
    messages,
    models,
    runs,
    steps,
    threads,
    vector_store_files,
    vector_stores,
)
from services.gateway.searches import Searches
from services.gateway.settings import Settings
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.stream.streams import Streams
from services.gateway.traces import Traces
from shared import tracing
from shared.files.choose import storage_for
from shared.files.library import Library
from shared.stores.database import connect
from shared.stores.store_time import following
from shared.tasks import in_background
from shared.version import VERSION


def build_app(settings: Settings) -> FastAPI:
    db = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
    stores = Stores.of(db)
    announcer = Announcer(settings, stores.messages)
    streams = Streams(settings, db, stores.runs)
    storage = storage_for(settings, db)
    shelves = Shelves(stores, announcer)
    searches = Searches(stores, announcer, streams, patience_s=settings.search_patience_s)
    library = Library(stores.files, storage, places(stores, shelves))
    served = Models(settings)
    door = Door()
    ledger = Ledger(stores.requests)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = in_background(library.keep_swept())
        async with following(db), keep_indexes(stores), announcer, streams, storage, served, sweeping, ledger:
            yield
        db.client.close()

    app = FastAPI(
        title="Threadmill",
        summary="The Assistants API, versions 1 and 2.",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # the pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.close_connections = ledger.close_connections
    app.state.end_streams = streams.end_all
    api = APIRouter()
    for router in (
        # /threads/runs before /threads/{id}
        runs.build_router(stores, announcer, shelves, streams, door, settings),
        events.build_router(stores, announcer, streams, door),
        diagnosis.build_router(stores, door, settings),
        steps.build_router(stores, door),
        message_files.build_router(stores, door),
        messages.build_router(stores, announcer, shelves, door),
        threads.build_router(stores, announcer, shelves, door),
        assistant_files.build_router(stores, shelves, door),
        assistants.build_router(stores, shelves, door),
        files.build_router(stores, library, door, settings),
        vector_store_files.build_router(stores, shelves, door, settings),
        file_batches.build_router(stores, shelves, door, settings),
        vector_stores.build_router(stores, shelves, searches, door),
        models.build_router(served, door),
    ):
        api.include_router(router)
    app.include_router(api, prefix="/v1")
    app.include_router(health.build_router(db, announcer))
    app.include_router(api, include_in_schema=False)  # for clients whose base URL is the bare root
    add_error_handlers(app)
    # the last one added is the first that a request meets
    app.add_middleware(Idempotency, ledger=ledger)
    app.add_middleware(RateLimits, usage=stores.usage)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Gate, keys=keys_of(settings, stores))
    if settings.asks_for_keys:  # else any page that this machine's user opens could do everything
        origins, methods = settings.cors_origins, ("DELETE", "GET", "POST")
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=["*"])
    app.add_middleware(ResponseHeaders)
    if tracing.on():
        app.add_middleware(Traces)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def keys_of(settings: Settings, stores: Stores) -> Keys:
    return Keys(
        settings.api_key.get_secret_value(),
        store=stores.keys,
        pepper=settings.key_pepper.get_secret_value(),
        limits=Limits(
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            concurrent_runs=settings.concurrent_runs,
        ),
    )
