"""Wires the orchestrator together. Nothing here decides anything."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from faststream.kafka import KafkaBroker
from starlette.applications import Starlette

from services.run_orchestrator.brokers import BrokerStore
from services.run_orchestrator.files import RunFiles
from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers, build_router
from services.run_orchestrator.ledger import Ledger
from services.run_orchestrator.model import Model
from services.run_orchestrator.passages import FoundPassages
from services.run_orchestrator.pictures import Pictures
from services.run_orchestrator.refill import Refill
from services.run_orchestrator.searchable import RunStores
from services.run_orchestrator.settings import Settings
from services.run_orchestrator.surroundings import Surroundings
from services.run_orchestrator.sweeper import Sweeper
from services.run_orchestrator.turn import Turn
from services.run_orchestrator.turns import Turns
from shared import control, process
from shared.broker_watch import BrokerWatch
from shared.events import Control
from shared.failpoints import failpoint
from shared.files.choose import storage_for
from shared.files.library import Library
from shared.kafka import build_broker, start
from shared.publisher import Publisher
from shared.runs.model import Run
from shared.stores.database import PyMongoError, connect
from shared.stores.files import FileStore
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from shared.stores.search_results import SearchResultStore
from shared.stores.store_time import following
from shared.stores.vector_store_files import VectorStoreFiles
from shared.stores.vector_stores import VectorStores
from shared.tasks import in_background, until_done

log = logging.getLogger(__name__)


class Orchestrator:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._db = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
        self._runs, self._messages = RunStore(self._db), MessageStore(self._db)
        self._storage = storage_for(settings, self._db)
        self._library = Library(FileStore(self._db), self._storage)
        self._surroundings = Surroundings(
            RunFiles(self._library.store),
            RunStores(VectorStores(self._db), VectorStoreFiles(self._db), wait_s=settings.ingest_wait_s),
            FoundPassages(SearchResultStore(self._db)),
        )
        self._publisher = Publisher(settings, client_id="run-orchestrator")
        self._refill = Refill(self._runs, BrokerStore(self._db), self._publisher)
        self._watch = BrokerWatch(settings, self._publisher, self._refill.note)
        self._model = Model(settings)
        self._follow_up = FollowUp(self._runs, self._messages, self._publisher, settings.call_secret)
        self._turns = Turns(
            self._runs,
            self._publisher,
            self._build_turn,
            owner=f"{socket.gethostname()}-{uuid4().hex[:8]}",
            lease_s=settings.lease_s,
            call_s=settings.call_timeout_s,
            most=settings.concurrent_turns,
        )
        self._handlers = Handlers(
            self._runs, self._turns, self._publisher, self._follow_up, settings.call_secret
        )
        self._sweeper = Sweeper(
            self._runs, self._turns, self._handlers, self._follow_up, tries=settings.record_tries
        )

    def build_broker(self) -> KafkaBroker:
        broker = build_broker(self._settings, client_id="run-orchestrator")
        broker.include_router(build_router(self._settings, self._handlers, self._publisher))
        return broker

    @asynccontextmanager
    async def run(self, app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(self._db.client.close)
            stack.push_async_callback(self._model.close)
            await until_done(self._create_indexes, PyMongoError, what="the store")
            await stack.enter_async_context(following(self._db))
            await stack.enter_async_context(self._storage)
            await stack.enter_async_context(self._publisher)
            for work in (
                self._watch.run(),
                self._heartbeat(),
                self._refill.run(),
                control.listen(self._settings, self._on_control, after=self._watch.seen),
            ):
                await stack.enter_async_context(in_background(work))
            # after those have stopped that bring more, and before those that the turns need
            stack.push_async_callback(self._turns.drain, self._settings.drain_s)
            for source in (self._sweeper.run(self._settings.sweep_s), self._consume()):
                await stack.enter_async_context(in_background(source))
            yield

    async def checks(self) -> dict[str, str]:
        try:
            await self._db.command("ping")
        except PyMongoError as error:
            return {"store": type(error).__name__}
        return {"store": "ok", "kafka": self._watch.state if self._watch.seen.is_set() else "away"}

    async def _create_indexes(self) -> None:
        await self._runs.create_indexes()
        await self._messages.create_indexes()

    async def _consume(self) -> None:
        """Handle records until cancelled; the sweeper works on while no broker is there."""
        await self._watch.seen.wait()
        broker = self.build_broker()
        try:
            await start(broker)
            await asyncio.Event().wait()
        finally:
            await broker.stop()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            try:
                failpoint("orchestrator.heartbeat_due")
                await self._turns.heartbeat()
                failpoint("orchestrator.heartbeat_done")
            except PyMongoError as error:
                log.error("could not renew leases", exc_info=error)

    def _on_control(self, message: Control) -> None:
        if message.type == "cancel":
            self._turns.stop(message.run_id)
        elif message.slot:
            self._turns.show(message.run_id, message.slot)

    def _build_turn(self, run: Run) -> Turn:
        ledger = Ledger(run, self._runs, self._messages, self._publisher)
        return Turn(
            ledger,
            self._model,
            self._messages,
            self._publisher,
            self._follow_up,
            self._surroundings,
            Pictures(self._library),
            aside=self._turns.aside,
            tries=self._settings.model_tries,
        )


def build_app(settings: Settings) -> Starlette:
    orchestrator = Orchestrator(settings)
    return process.worker_app(orchestrator.run, orchestrator.checks)
