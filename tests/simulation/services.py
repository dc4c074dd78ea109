"""The three services, wired as their ``app`` modules do, each in a process that can die."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, cast

from aiokafka.errors import KafkaError
from pydantic import BaseModel, SecretStr

from services.gateway.announcer import Announcer
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.stores.all import Stores
from services.run_orchestrator.app import Orchestrator
from services.run_orchestrator.brokers import BrokerStore
from services.run_orchestrator.files import RunFiles
from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers, side_by_side
from services.run_orchestrator.ledger import Ledger
from services.run_orchestrator.passages import FoundPassages
from services.run_orchestrator.pictures import Pictures
from services.run_orchestrator.refill import Refill
from services.run_orchestrator.searchable import RunStores
from services.run_orchestrator.settings import Settings
from services.run_orchestrator.surroundings import Surroundings
from services.run_orchestrator.sweeper import Sweeper
from services.run_orchestrator.turn import Turn
from services.run_orchestrator.turns import Turns
from shared.broker_watch import BrokerWatch
from shared.events import CodeRequested, RunCommand, ToolResult
from shared.records import Records
from shared.runs.model import Run
from shared.stores.database import Document, PyMongoError
from shared.stores.files import FileStore
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles
from shared.stores.vector_stores import VectorStores
from shared.topics import RUN_COMMANDS, TOOL_RESULTS, Topic
from tests.simulation.broker import Admin, Broker, Member, batch_of
from tests.simulation.model import ScriptedModel
from tests.simulation.process import Killed, Process
from tests.simulation.producer import SimulatedPublisher
from tests.simulation.tools import LEASE_S, SimulatedIntake, build_worker

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Handle: TypeAlias = Callable[[M], Awaitable[None]]
TRIES = 5
SECRET = SecretStr("a secret of the simulation")
SETTINGS = Settings(topic_prefix="", create_topics=False, call_secret=SECRET)
GATEWAY_SETTINGS = GatewaySettings(topic_prefix="", create_topics=False, api_key=SecretStr("key"))
POLL_S = 5.0  # less often than the product, whose empty polls would fill the schedule


class Watch(BrokerWatch):
    """The product's, without its connection."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        publisher: SimulatedPublisher,
        on_new: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(SETTINGS, publisher, on_new)
        self._admin = cast(Any, Admin(broker, process))

    async def run(self) -> None:
        while True:
            try:
                await self._watch(self._admin)
            except (KafkaError, OSError, TimeoutError, PyMongoError):
                await asyncio.sleep(1.0)


class Works:
    """What runs beside the requests of a process."""

    def __init__(self) -> None:
        self._works: list[asyncio.Task[None]] = []

    def begin(self, *works: Coroutine[Any, Any, None]) -> None:
        self._works += [asyncio.create_task(work) for work in works]

    async def end(self) -> None:
        for work in reversed(self._works):
            work.cancel()
            await asyncio.wait([work])


class Replica(Orchestrator):
    """An orchestrator over the simulated store and broker."""

    @property
    def held(self) -> set[str]:
        """The runs that it works on."""
        return set(self._turns._tasks)

    def __init__(self, process: Process, *, most: int) -> None:
        world = process.world
        db = world.store.seen_by(process)
        self.process, self._broker, self._works = process, world.broker, Works()
        self._settings = SETTINGS
        self._runs, self._messages = RunStore(db), MessageStore(db)
        self._publisher = self._producing = SimulatedPublisher(SETTINGS, world.broker, process)
        self._refill = Refill(self._runs, BrokerStore(db), self._publisher)
        self._watch = Watch(world.broker, process, self._producing, self._refill.note)
        self._follow_up = FollowUp(self._runs, self._messages, self._publisher, SECRET)
        self._turns = Turns(
            self._runs,
            self._publisher,
            self._build_turn,
            owner=process.name,
            lease_s=SETTINGS.lease_s,
            call_s=SETTINGS.call_timeout_s,
            most=most,
        )
        self._handlers = Handlers(self._runs, self._turns, self._publisher, self._follow_up, SECRET)
        self._sweeper = Sweeper(self._runs, self._turns, self._handlers, self._follow_up, tries=TRIES)
        self._surroundings = Surroundings(
            RunFiles(FileStore(db)),
            RunStores(VectorStores(db), VectorStoreFiles(db), wait_s=1.0),
            FoundPassages(SearchResultStore(db)),
        )
        self._pictures = Pictures(cast(Any, None))

    async def start(self) -> None:
        await self._producing.__aenter__()
        handlers = self._handlers
        self._works.begin(
            self._watch.run(),
            self._heartbeat(),
            self._sweeper.run(SETTINGS.sweep_s),
            self._refill.run(),
            self._listen(
                RUN_COMMANDS, self._records(RunCommand, handlers.on_run_command, handlers.give_up_command)
            ),
            self._listen(
                TOOL_RESULTS, self._records(ToolResult, handlers.on_tool_result, handlers.give_up_result)
            ),
        )
        self._broker.listeners.append((self.process, self._on_control))

    async def leave(self) -> None:
        """What the process does on SIGTERM."""
        self.process.leaving = True
        await self._works.end()
        await self._turns.drain()
        await self._producing.__aexit__(None, None, None)

    def _records(self, model: type[M], handle: Handle[M], give_up: Handle[M]) -> Records[M]:
        return Records(model, handle, give_up, self._publisher, tries=TRIES)

    async def _listen(self, topic: Topic, records: Records[Any]) -> None:
        await self._watch.seen.wait()
        handle_batch = side_by_side(records.take)
        member = Member(self._broker, f"orchestrator.{topic.name}", topic.name, self.process)
        try:
            while True:
                await self._handle(member, handle_batch)
        finally:
            if not self.process.dead:
                member.leave()

    async def _handle(self, member: Member, handle: Callable[[Any], Awaitable[None]]) -> None:
        """A batch that fails, or whose commit does, is read again: ``NACK_ON_ERROR`` and ``hold_back``."""
        found = await member.poll(64, POLL_S)
        if not found:
            return
        try:
            await handle(batch_of([record for _, record in found]))
            await member.commit({partition: record.offset + 1 for partition, record in found})
        except Exception:
            member.rewind()
            await asyncio.sleep(1.0)

    def _build_turn(self, run: Run) -> Turn:
        model = ScriptedModel(self.process.world, self.process, run)
        ledger = Ledger(run, self._runs, self._messages, self._publisher)
        return Turn(
            ledger,
            model,
            self._messages,
            self._publisher,
            self._follow_up,
            self._surroundings,
            self._pictures,
            aside=self._turns.aside,
            tries=SETTINGS.model_tries,
        )


class Worker:
    held: frozenset[str] = frozenset()

    def __init__(self, process: Process) -> None:
        self.process, self._works = process, Works()
        self._broker = process.world.broker
        self._executions, self._handlers, self._publisher = build_worker(process, SETTINGS)

    async def start(self) -> None:
        await self._publisher.__aenter__()
        watch = Watch(self._broker, self.process, self._publisher)
        handlers = self._handlers
        records = Records(
            CodeRequested, handlers.on_code_requested, handlers.give_up, self._publisher, tries=TRIES
        )
        intake = SimulatedIntake(SETTINGS, self._broker, self.process, records.take)
        self._works.begin(watch.run(), self._heartbeat(), intake.run(after=watch.seen))
        self._broker.listeners.append((self.process, self._handlers.on_control))

    async def leave(self) -> None:
        self.process.leaving = True
        await self._works.end()
        await self._publisher.__aexit__(None, None, None)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await self._executions.heartbeat(self.process.world.now())
            except PyMongoError:
                continue


class Gateway(Announcer):
    """What of a gateway touches runs: it stores them, changes them, and tells of them."""

    held: frozenset[str] = frozenset()

    def __init__(self, process: Process) -> None:
        world = process.world
        db = world.store.seen_by(process)
        self.process, self._works = process, Works()
        self.runs, self.messages = RunStore(db), MessageStore(db)
        self.stores = cast(Stores, _Stores(self.runs, self.messages))
        self._settings = GATEWAY_SETTINGS
        self._messages = self.messages
        self._publisher = self._producing = SimulatedPublisher(SETTINGS, world.broker, process)
        self._watch = Watch(world.broker, process, self._producing)
        self._new: asyncio.Queue[Document] = asyncio.Queue()
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._producing.__aenter__()
        self._works.begin(self._watch.run(), self._tell_messages(), self._sweep())

    async def leave(self) -> None:
        self.process.leaving = True
        if self._telling:
            await asyncio.wait(self._telling, timeout=5.0)
        await self._works.end()
        await self._producing.__aexit__(None, None, None)

    async def serve(self, request: Coroutine[Any, Any, T]) -> T:
        """Do what a client asked for, inside this process.

        Raises:
            ConnectionError: the process is gone.
        """
        task = asyncio.create_task(request)
        await asyncio.wait([task])
        if isinstance(task.exception(), Killed):
            raise ConnectionError("the gateway is gone")
        return task.result()


class _Stores:
    def __init__(self, runs: RunStore, messages: MessageStore) -> None:
        self.runs, self.messages = runs, messages
