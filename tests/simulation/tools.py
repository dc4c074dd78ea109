"""The tool worker: the product's own intake, ledger and sessions, over sandboxes that count what they do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from services.tool_code.calls import Calls
from services.tool_code.files import Files, Kept
from services.tool_code.handlers import Handlers
from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.running_call import OnOutput
from services.tool_code.sessions import Sessions
from shared.events import CodeRequested
from shared.intake import Intake
from shared.settings import ServiceSettings
from shared.stores.executions import ExecutionStore
from shared.topics import TOOL_REQUESTS_CODE
from tests.simulation.broker import PARTITIONS, Broker, Member
from tests.simulation.process import Process
from tests.simulation.producer import SimulatedPublisher

LEASE_S = 15.0
POLL_S = 5.0  # less often than the product, whose empty polls would fill the schedule


class Sandbox:
    """Keeps what its code has done; gone with its worker."""

    alive = True

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, code: str, *, timeout_s: float, on_output: OnOutput | None = None) -> Execution:
        world = self._process.world
        await self._process.reach("the sandbox")
        world.audit.effect(id(self), code)
        await asyncio.sleep(world.random.choice((0.0, 0.05, 1.0, 4.0)))
        await self._process.reach("the sandbox's answer")
        return Execution("ok", f"ran in {self._process.name}")

    async def close(self) -> None:
        pass


class Sandboxes:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def start(self, thread_id: str) -> Sandbox:
        await self._process.reach("a new sandbox")
        sandbox = Sandbox(self._process)
        self._process.world.keep(sandbox)
        return sandbox


class NoFiles(Files):
    def __init__(self) -> None:
        pass

    async def restore(self, *_: Any) -> list[str]:
        return []

    async def bring(self, *_: Any) -> list[str]:
        return []

    async def keep_images(self, *_: Any) -> list[str]:
        return []

    async def keep_files(self, *_: Any) -> Kept:
        return Kept([], [], [])


class TracedCalls(Calls):
    """Names the call in its code, so that an effect can be traced to it."""

    async def execute(self, request: CodeRequested) -> Any:
        return await super().execute(request.model_copy(update={"code": request.call_id}))


class SimulatedIntake(Intake):
    """The product's bookkeeping of offsets, over the simulated broker."""

    def __init__(
        self,
        settings: ServiceSettings,
        broker: Broker,
        process: Process,
        take: Callable[[ConsumerRecord], Awaitable[None]],
    ) -> None:
        super().__init__(settings, TOOL_REQUESTS_CODE.name, "tool-code", take, most=2)
        self._broker, self._process = broker, process

    async def run(self, *, after: asyncio.Event) -> None:
        await after.wait()
        member = Member(self._broker, "tool-code", self._topic, self._process)
        consumer = IntakeConsumer(member, self)
        try:
            while True:
                try:
                    await self._take(cast(Any, consumer))
                except KafkaError:
                    await asyncio.sleep(1.0)
        finally:
            if not self._process.dead:
                member.leave()
            await self._stop(cast(Any, consumer))


class IntakeConsumer:
    """What the intake asks of aiokafka's consumer."""

    def __init__(self, member: Member, intake: Intake) -> None:
        self._member, self._intake = member, intake
        self._paused = False

    def paused(self) -> list[int]:
        return []

    def assignment(self) -> list[int]:
        return []

    def highwater(self, partition: int) -> None:
        pass

    def resume(self, *_: int) -> None:
        self._paused = False

    def pause(self, *_: int) -> None:
        self._paused = True

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[int, list[Any]]:
        if self._paused:
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        found: dict[int, list[Any]] = {}
        records = await self._member.poll(max_records, POLL_S)
        if self._member.revoked:
            self._member.revoked = False
            await self._intake.on_partitions_revoked(cast(Any, range(PARTITIONS)))
        for partition, record in records:
            found.setdefault(partition, []).append(record)
        return found

    async def commit(self, offsets: dict[int, int]) -> None:
        await self._member.commit(offsets)

    async def stop(self) -> None:
        pass


def build_worker(
    process: Process, settings: ServiceSettings
) -> tuple[ExecutionStore, Handlers, SimulatedPublisher]:
    """Wire a worker as the product's ``app`` does."""
    world = process.world
    db = world.store.seen_by(process)
    publisher = SimulatedPublisher(settings, world.broker, process)
    executions = ExecutionStore(db, process.name, LEASE_S)
    sessions = Sessions(db, cast(Backend, Sandboxes(process)), process.name, idle_s=600.0, most=9)
    calls = TracedCalls(executions, sessions, NoFiles(), publisher, timeout_s=60.0)
    return executions, Handlers(calls, publisher), publisher
