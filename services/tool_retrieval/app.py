"""Wires tool_retrieval together. Nothing here decides anything."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette

from services.tool_retrieval.calls import Calls
from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.handlers import Handlers
from services.tool_retrieval.index.choose import index_for
from services.tool_retrieval.ingest import Ingest
from services.tool_retrieval.parsing.process import Parser
from services.tool_retrieval.reranker import reranker_for
from services.tool_retrieval.searches import Searches
from services.tool_retrieval.settings import Settings
from services.tool_retrieval.tables import TableStore
from services.tool_retrieval.texts import Texts
from services.tool_retrieval.upkeep import Upkeep
from shared import clock, process
from shared.broker_watch import BrokerWatch
from shared.events import FileCommand, SearchRequested
from shared.files.choose import storage_for
from shared.files.library import Library
from shared.files.parsed import ParsedFiles
from shared.intake import Intake
from shared.publisher import Publisher
from shared.records import Records
from shared.stores.database import PyMongoError, connect
from shared.stores.executions import ExecutionStore
from shared.stores.files import FileStore
from shared.stores.search_results import SearchResultStore
from shared.stores.store_time import following
from shared.stores.vector_store_files import VectorStoreFiles
from shared.stores.vector_stores import VectorStores
from shared.tasks import in_background, until_done
from shared.topics import FILE_COMMANDS, TOOL_REQUESTS_RETRIEVAL, Topic

log = logging.getLogger(__name__)

GROUP = "tool-retrieval"
TIDY_EVERY_S = 5.0
WARM_AFTER_S = 3.0  # what takes seconds to load does not hold the start back


class ToolRetrieval:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        owner = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        self._db = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
        self._executions = ExecutionStore(self._db, owner, settings.lease_s)
        self._claims = FileClaims(self._db, owner, settings.lease_s)
        self._stores, self._files = VectorStores(self._db), VectorStoreFiles(self._db)
        self._tables, self._results = TableStore(self._db), SearchResultStore(self._db)
        self._parsed = ParsedFiles(self._db)
        self._publisher = Publisher(settings, client_id="tool-retrieval")
        self._watch = BrokerWatch(settings, self._publisher)
        self._embedding = Embedding(settings)
        self._index = index_for(settings)
        self._reranker = reranker_for(settings)

    @asynccontextmanager
    async def run(self, app: Starlette) -> AsyncIterator[None]:
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self._db.client.close)
            await until_done(self._create_indexes, PyMongoError, what="the store")
            await stack.enter_async_context(following(self._db))
            stack.push_async_callback(self._embedding.close)
            stack.push_async_callback(self._index.close)
            await stack.enter_async_context(self._publisher)
            storage = await stack.enter_async_context(storage_for(settings, self._db))
            library = Library(FileStore(self._db), storage)
            texts = Texts(self._parsed, library, Parser(settings.concurrent_files))
            ingest = Ingest(
                self._claims,
                self._stores,
                self._tables,
                texts,
                self._embedding,
                self._index,
                at_once=settings.concurrent_files,
                renew_s=settings.lease_s / 3,
            )
            if self._reranker is not None:
                stack.push_async_callback(self._reranker.close)
            searches = Searches(
                self._stores,
                self._claims,
                self._tables,
                self._parsed,
                self._embedding,
                self._index,
                self._reranker,
            )
            calls = Calls(self._executions, searches, self._results)
            handlers = Handlers(ingest, calls, self._publisher)
            for work in self._background(ingest, handlers):
                await stack.enter_async_context(in_background(work))
            yield

    async def checks(self) -> dict[str, str]:
        try:
            await self._db.command("ping")
        except PyMongoError as error:
            return {"store": type(error).__name__}
        return {"store": "ok", "kafka": self._watch.state, "embedder": self._embedding.state}

    def _background(self, ingest: Ingest, handlers: Handlers) -> list[Coroutine[Any, Any, None]]:
        settings, seen = self._settings, self._watch.seen
        upkeep = Upkeep(
            self._claims,
            self._stores,
            self._tables,
            self._executions,
            self._results,
            self._embedding,
            self._index,
            ingest,
            settings.audit_s,
        )
        works = [self._watch.run(), self._heartbeat(), upkeep.forget_often(), self._warm_up()]
        if settings.ingest:
            commands = self._intake(FILE_COMMANDS, self._file_records(handlers), settings.concurrent_files)
            works += [commands.run(after=seen), upkeep.sweep_often(settings.sweep_s)]
            works.append(upkeep.tidy_often(TIDY_EVERY_S))
        if settings.search:
            requests = self._intake(
                TOOL_REQUESTS_RETRIEVAL, self._search_records(handlers), settings.concurrent_searches
            )
            works.append(requests.run(after=seen))
        return works

    def _file_records(self, handlers: Handlers) -> Records[FileCommand]:
        tries = self._settings.record_tries
        return Records(
            FileCommand,
            handlers.on_file_command,
            handlers.leave_to_the_sweeper,
            self._publisher,
            tries=tries,
        )

    def _search_records(self, handlers: Handlers) -> Records[SearchRequested]:
        tries = self._settings.record_tries
        return Records(
            SearchRequested,
            handlers.on_search_requested,
            handlers.give_up_search,
            self._publisher,
            tries=tries,
        )

    def _intake(self, topic: Topic, records: Records[Any], most: int) -> Intake:
        name = self._settings.topic_prefix + topic.name
        return Intake(self._settings, name, GROUP, records.take, most=most)

    async def _create_indexes(self) -> None:
        for store in (
            self._executions,
            self._stores,
            self._files,
            self._tables,
            self._results,
            self._parsed,
        ):
            await store.create_indexes()

    async def _warm_up(self) -> None:
        """Load what the first search would wait for, if there is anything to search."""
        await asyncio.sleep(WARM_AFTER_S)
        await until_done(self._load, PyMongoError, what="the store")

    async def _load(self) -> None:
        if await self._tables.any():
            await self._embedding.get()
            await self._index.open()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            try:
                await self._executions.heartbeat(clock.now())
            except PyMongoError as error:
                log.error("could not renew leases", exc_info=error)


def build_app(settings: Settings) -> Starlette:
    service = ToolRetrieval(settings)
    return process.worker_app(service.run, service.checks)
