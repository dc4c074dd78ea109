"""One schedule: three runs on two threads, everything that touches them, and what goes wrong meanwhile."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, TypeAlias

from shared import topics
from tests.simulation.audit import Audit
from tests.simulation.broker import Broker, Record
from tests.simulation.client import Client
from tests.simulation.clock import BEGIN, VirtualLoop
from tests.simulation.faults import Faults
from tests.simulation.model import Reply
from tests.simulation.process import Process
from tests.simulation.services import Gateway, Replica, Worker
from tests.simulation.store import Store
from tests.simulation.tools import Sandbox

AnyService: TypeAlias = Gateway | Replica | Worker

KINDS = ("gateway", "orchestrator-1", "orchestrator-2", "worker-1", "worker-2")
LATENCIES_S = (0.0, 0.001, 0.001, 0.002, 0.005, 0.02)
QUIET_WITHIN_S = 1500.0  # longer than any run lives, and any tool call is repeated
SEEN_WITHIN_S = 10.0  # until somebody has noticed that the broker is another one, and tells it everything
AFTERMATH_S = 6.0  # chaos goes on when the client has what it wants: events may not be told yet


class World:
    def __init__(
        self, seed: int, loop: VirtualLoop, *, traced: bool = False, focus: Sequence[str] = ()
    ) -> None:
        self.random = Random(seed)
        self.loop = loop
        self.history: list[str] | None = [] if traced else None
        self.steps = 0
        self.processes: list[Process] = []
        self.scripts: dict[str, list[Reply]] = {}
        self.quiet_since = float("inf")  # Unix seconds
        self.slow = self.random.choice((0.0, 0.0, 0.02))  # odds of a step that takes long
        self.faults = Faults.drawn(self.random, focus)
        self.audit = Audit(self)
        self.store = Store(self.audit.written)
        self.broker = Broker(self)
        self.client = Client(self)
        self._services: dict[str, AnyService] = {}
        self._ever: list[AnyService] = []  # a dead process leaves its tasks as they are
        self._kept: list[Sandbox] = []
        self._incarnations = 0
        self._chaos = True

    @property
    def gateway(self) -> Gateway:
        service = self._services["gateway"]
        assert isinstance(service, Gateway)
        return service

    def now(self) -> float:
        return BEGIN + self.loop.time()

    def note(self, who: str, what: str) -> None:
        if self.history is not None:
            self.history.append(f"{self.loop.time():9.3f} {who:18} {what}")

    def keep(self, sandbox: Sandbox) -> None:
        self._kept.append(sandbox)  # so that no two have the same id()

    def latency_s(self) -> float:
        if self.slow and self._chaos and self.random.random() < self.slow:
            return self.random.uniform(0.05, 5.0)
        return self.random.choice(LATENCIES_S)

    async def run(self) -> None:
        for kind in KINDS:
            await self._start(kind)
        talking = asyncio.create_task(self.client.talk())
        await asyncio.wait([talking], timeout=self.faults.until_s)
        if talking.done():
            await asyncio.sleep(AFTERMATH_S)
        await self._heal()
        await self._until_quiet(talking)
        self.audit.finish()

    async def _heal(self) -> None:
        self._chaos = False
        self.note("world", "is quiet from now on")
        self.broker.away_until_s = min(self.broker.away_until_s, self.loop.time() + 5.0)
        for process in self.processes:
            process.stopped_until_s = min(process.stopped_until_s, self.loop.time() + 20.0)
        self.quiet_since = max([self.loop.time(), *(p.stopped_until_s for p in self.processes)]) + BEGIN

    async def _until_quiet(self, talking: "asyncio.Task[None]") -> None:
        end = self.loop.time() + QUIET_WITHIN_S
        quiet_since = self.quiet_since + (SEEN_WITHIN_S if self.broker.wipes else 0.0)
        while self.loop.time() < end:
            if talking.done() and self.now() >= quiet_since and not self.audit.restless():
                break
            await asyncio.sleep(1.0)
        if talking.done():
            talking.result()
        else:
            talking.cancel()

    # What goes wrong

    def disturb(self, process: Process, what: str) -> None:
        self.note(process.name, what)
        if not self._chaos or process.dead or process.leaving:
            return
        fault = self.faults.of_step(self.steps)
        if fault == "kill":
            process.kill()
            self._later(self.random.uniform(0.2, 8.0), lambda: self._start(process.kind))
        elif fault == "stop":
            process.stop_for(self.random.choice((3.0, 16.0, 18.0, 25.0, 40.0)))
        elif fault == "leave":
            self._later(0.0, lambda: self._leave(process))
        elif fault == "wipe":
            self.broker.wipe()
        elif fault == "broker away":
            self.broker.away_until_s = self.loop.time() + self.random.choice((1.0, 4.0, 15.0))
            self.note("broker", f"is away until {self.broker.away_until_s:.1f}")

    def strikes(self, kind: str, process: Process | None = None) -> bool:
        if not self._chaos or not self.faults.strikes(kind):
            return False
        self.note(process.name if process else "broker", kind)
        if process:
            process.disturbed_s = self.loop.time()
        return True

    def twisted(self, topic: str, value: bytes) -> bytes:
        """The second copy of a record; of a tool's result, maybe one that says something else."""
        if topic != topics.TOOL_RESULTS.name or self.random.random() < 0.5:
            return value
        return json.dumps({**json.loads(value), "output": "a second answer"}).encode()

    def forged(self, topic: str, value: bytes) -> bytes | None:
        """What somebody else wrote to the topic just before, if somebody did."""
        if topic != topics.TOOL_RESULTS.name or not self.strikes("record forged"):
            return None
        return json.dumps({**json.loads(value), "output": "forged", "token": "0" * 64}).encode()

    def on_record(self, record: Record) -> None:
        if record.topic == topics.THREAD_EVENTS.name:
            self.audit.told(record)
        elif record.topic == topics.RUN_COMMANDS.name and self.strikes("garbage"):
            self.audit.garbage += 1
            self.broker.logs[record.topic][record.offset % 2].append(
                Record(record.topic, len(self.broker.logs[record.topic][record.offset % 2]), b"?", b"{")
            )

    async def _start(self, kind: str) -> None:
        self._incarnations += 1
        process = Process(self, f"{kind}.{self._incarnations}")
        self.note(process.name, "starts")
        service: AnyService
        if kind == "gateway":
            service = Gateway(process)
            await service.runs.create_indexes()
            await service.messages.create_indexes()
        elif kind.startswith("orchestrator"):
            service = Replica(process, most=self.random.choice((1, 2, 64)))
        else:
            service = Worker(process)
        self._services[kind] = service
        self._ever.append(service)
        await service.start()

    async def _leave(self, process: Process) -> None:
        kind = process.kind
        service = self._services.get(kind)
        if service is None or service.process is not process or process.dead:
            return
        self.note(process.name, "is told to leave")
        told_s, held = self.loop.time(), service.held
        await service.leave()
        self.audit.left(process, held, told_s)
        process.dead = True
        await self._start(kind)

    def _later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await work()

        self.audit.watch_over(asyncio.create_task(wait()))
