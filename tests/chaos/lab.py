"""A whole stack on proxies, with the scripted model: everything that may be broken, in one place."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.local.keeper import ProgramError
from deploy.local.programs import Model
from deploy.local.stack import Options, Stack
from shared.failpoints import DYING
from shared.stores.database import Database, connect
from tests.bench.processes import resident_mb
from tests.chaos.client import Log
from tests.chaos.kafka_proxy import KafkaProxy
from tests.chaos.model import chaos_server
from tests.chaos.proxies import HOST, Proxy
from tests.model_server import ModelServer

PROGRAMS = ("store", "broker", "run_orchestrator", "tool_code", "gateway")
SERVICES = ("run_orchestrator", "tool_code", "gateway")
SLOT_LEASE_S = 15.0
EXPIRY_S = 45
PARTITIONS = 4  # at most, of each topic
READY_WITHIN_S = 180.0

# So that what is left of a killed process is found soon.
QUICK = {
    "THREADMILL_LEASE_S": "3",
    "THREADMILL_HEARTBEAT_S": "1",
    "THREADMILL_SWEEP_S": "0.5",
    "THREADMILL_KAFKA_SESSION_S": "6",
    "THREADMILL_MOST_PARTITIONS": str(PARTITIONS),
    "THREADMILL_WARM_SANDBOXES": "0",
    "THREADMILL_ANNOUNCE_AFTER_S": "2",
    "THREADMILL_MODEL_SILENCE_S": "5",
    "THREADMILL_RUN_EXPIRY_S": str(EXPIRY_S),
    "THREADMILL_POLL_AFTER_MS": "100",
}


@dataclass
class Lab:
    stack: Stack
    model: ModelServer
    proxies: dict[str, Proxy]
    database: str
    prefix: str
    kafka: str  # the addresses behind the proxies
    mongo_url: str
    folder: Path
    log: list[str] = field(default_factory=list)
    notes: Log = field(default_factory=Log)  # of all its clients
    disturbed: list[tuple[float, float]] = field(default_factory=list)
    brokers_lost: list[float] = field(default_factory=list)
    injected: list[str] = field(default_factory=list)
    gateway_ends: list[float] = field(default_factory=list)
    memory_mb: dict[str, tuple[int, float]] = field(default_factory=dict)  # process id, at first

    @asynccontextmanager
    async def db(self) -> AsyncIterator[Database]:
        """The store itself, not through its proxy."""
        found = connect(self.mongo_url, self.database)
        try:
            yield found
        finally:
            found.client.close()

    async def kill(self, name: str) -> None:
        self.ends(name)
        with suppress(ProgramError, KeyError):
            await self.stack.kill(name)

    async def start(self, name: str, failpoint: str = "", **env: str) -> None:
        await self.stack.start(name, {"THREADMILL_FAILPOINT": failpoint, **env})

    async def restart(self, name: str) -> None:
        """As a deployment does it."""
        self.ends(name)
        await self.stack.stop(name)
        await self.start(name)

    def ends(self, name: str) -> None:
        """Note that ``name`` is about to end."""
        if name.startswith("gateway"):
            self.gateway_ends.append(time.time())
        if name == "broker":
            self.brokers_lost.append(time.time())
            self.injected.clear()  # forgotten, and with them those that were set aside

    def died_at(self, place: str) -> bool:
        """Whether a process was killed there: its failpoint said so first."""
        return any(f'"{place}"' in line for line in self.log if DYING in line)

    def runs_now(self, name: str) -> bool:
        try:
            self.stack.pid(name)
        except ProgramError:
            return False
        return True

    async def make_whole(self) -> None:
        """Start what does not run, and heal what is broken."""
        for proxy in self.proxies.values():
            proxy.heal()
        for name in PROGRAMS:
            if name not in self.given and not self.runs_now(name):
                await self.start(name)

    @property
    def way_to_kafka(self) -> KafkaProxy:
        proxy = self.proxies["broker"]
        assert isinstance(proxy, KafkaProxy)
        return proxy

    @property
    def given(self) -> set[str]:
        """What is not ours to break."""
        return {
            name
            for name, given in (("broker", "TEST_KAFKA"), ("store", "TEST_MONGO"))
            if os.environ.get(given)
        }

    def remember_memory(self) -> None:
        for name in SERVICES:
            pid = self.stack.pid(name)
            self.memory_mb[name] = (pid, resident_mb(pid))

    def memory_now(self) -> dict[str, tuple[float, float]]:
        """Of the processes that were there at first, and still are."""
        same = {name: (pid, first) for name, (pid, first) in self.memory_mb.items() if self.runs_now(name)}
        return {
            name: (first, resident_mb(pid))
            for name, (pid, first) in same.items()
            if self.stack.pid(name) == pid
        }

    @asynccontextmanager
    async def disturbance(self, recovery_s: float = 20.0) -> AsyncIterator[None]:
        """Something without which nobody can work is away; then it takes a while to find back."""
        began = time.time()
        try:
            yield
        finally:
            self.disturbed.append((began, time.time() + recovery_s))


@asynccontextmanager
async def laboratory(folder: Path, log_to: Path | None = None, **env: str) -> AsyncIterator[Lab]:
    """Kafka and MongoDB are those in ``TEST_KAFKA`` and ``TEST_MONGO``, else the embedded ones."""
    unique = uuid4().hex[:8]
    proxies: dict[str, Proxy] = {"broker": KafkaProxy(), "store": Proxy(), "model": Proxy()}
    mongo = os.environ.get("TEST_MONGO")
    own = {
        "THREADMILL_MONGO_DATABASE": f"chaos_{unique}",
        "THREADMILL_TOPIC_PREFIX": f"chaos-{unique}.",
        "THREADMILL_KAFKA_BOOTSTRAP": proxies["broker"].address,
        # a replica set would be found behind its proxy; one that is given is used as it is
        "THREADMILL_MONGO_URL": mongo
        or f"mongodb://{proxies['store'].address}/?retryWrites=false&directConnection=true",
    }
    model_url = f"http://{proxies['model'].address}/v1"
    options = Options(
        data=folder,
        kafka=os.environ.get("TEST_KAFKA"),
        mongo=mongo,
        services=SERVICES,
        ready_within_s=READY_WITHIN_S,
        model=Model(url=model_url, api_key=f"sk-model-{unique}"),
        log_level="warning",
        env={**QUICK, **own, **env},
    )
    lines: list[str] = []

    def write(name: str, line: str) -> None:
        lines.append(f"{name}: {line}")
        if log_to:
            with log_to.open("a") as file:
                file.write(lines[-1] + "\n")

    stack = Stack(options, write)
    async with chaos_server() as model:
        proxies["broker"].target = _address(stack.kafka_bootstrap)
        proxies["model"].target = (HOST, model.port)
        if mongo is None:
            proxies["store"].target = _address(stack.mongo_url.removeprefix("mongodb://").partition("/")[0])
        async with proxies["broker"], proxies["store"], proxies["model"], stack:
            yield Lab(
                stack,
                model,
                proxies,
                own["THREADMILL_MONGO_DATABASE"],
                own["THREADMILL_TOPIC_PREFIX"],
                stack.kafka_bootstrap,
                stack.mongo_url,
                folder,
                lines,
            )
            for proxy in proxies.values():
                proxy.heal()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))
