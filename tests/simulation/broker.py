"""Kafka as the product may find it: records come twice, late, in another order, or not at all.

Only the feed keeps what it acknowledged, in order, for as long as the broker lives: readers rely on it.
A wipe leaves nothing, and another generation.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaConnectionError

from shared import topics
from shared.events import Control
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

PARTITIONS = 2
SHAKEN = {topic.name for topic in topics.WORK}  # records of these may be lost, doubled, or late
SESSION_S = 10.0  # after that long, a group does without a member that died
DEAD = topics.DEAD_LETTER_SUFFIX


@dataclass
class Record:
    topic: str
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0
    timestamp: int = 0


@dataclass
class Group:
    committed: dict[int, int] = field(default_factory=dict)
    members: list["Member"] = field(default_factory=list)


class Broker:
    def __init__(self, world: "World") -> None:
        self._world = world
        self.generation = "broker-1"
        self.wipes = 0
        self.away_until_s = 0.0
        self.logs: dict[str, list[list[Record]]] = defaultdict(lambda: [[] for _ in range(PARTITIONS)])
        self.groups: dict[str, Group] = defaultdict(Group)
        self.listeners: list[tuple[Process, Any]] = []
        self.arrived: dict[str, asyncio.Event] = defaultdict(asyncio.Event)  # by topic

    @property
    def away(self) -> bool:
        return self._world.loop.time() < self.away_until_s

    def wipe(self) -> None:
        self.wipes += 1
        self.generation = f"broker-{self.wipes + 1}"
        self.logs.clear()
        for group in self.groups.values():
            group.committed.clear()
            for member in group.members:
                member.rewind()
        self._world.note("broker", f"forgot everything; it is {self.generation} now")

    def append(
        self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        if topic == topics.CONTROL.name:
            self._tell(value)
            return
        world = self._world
        if topic in SHAKEN:
            if forged := world.forged(topic, value):
                self._store(topic, key, forged, ())
            if world.strikes("record lost"):
                return
            if world.strikes("record doubled"):
                late_s = world.random.choice((0.0, 0.1, 1.0, world.random.uniform(0.0, 20.0)))
                world.loop.call_later(late_s, self._store, topic, key, world.twisted(topic, value), headers)
            if world.strikes("record late"):
                late_s = world.random.uniform(0.1, 20.0)
                world.loop.call_later(late_s, self._store, topic, key, value, headers)
                return
        self._store(topic, key, value, headers)

    def _store(
        self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        partition = zlib.crc32(key or b"") % PARTITIONS
        log = self.logs[topic][partition]
        record = Record(topic, len(log), key, value, headers, partition)
        log.append(record)
        self._world.note("broker", f"has {topic} {dict(headers).get('ce_id', b'').decode()}")
        self._world.on_record(record)
        self.arrived[topic].set()

    def _tell(self, value: bytes) -> None:
        message = Control.model_validate_json(value)
        for process, react in self.listeners:
            if not self._world.strikes("record lost"):
                self._world.loop.call_later(self._world.latency_s(), _react, process, react, message)


def _react(process: Process, react: Any, message: Control) -> None:
    left_s = process.stopped_until_s - process.world.loop.time()
    if left_s > 0:
        process.world.loop.call_later(left_s, _react, process, react, message)
    elif not process.dead and not process.leaving:
        react(message)


class Member:
    """One consumer of a group. Partitions go round among the members that the group believes alive."""

    def __init__(self, broker: Broker, group: str, topic: str, process: Process) -> None:
        self.process = process
        self._broker = broker
        self._topic = topic
        self._group = broker.groups[group]
        self._group.members.append(self)
        self._died_s: float | None = None
        self._positions: dict[int, int] = {}
        self.revoked = False  # since somebody last asked
        for member in self._group.members:
            member.rewind()

    def rewind(self) -> None:
        """Read again from what was committed."""
        self._positions.clear()
        self.revoked = True

    def leave(self) -> None:
        if self in self._group.members:
            self._group.members.remove(self)
            for member in self._group.members:
                member.rewind()

    def _assigned(self) -> list[int]:
        now = self._broker._world.loop.time()
        for member in list(self._group.members):
            if member.process.dead:
                member._died_s = now if member._died_s is None else member._died_s
                if now - member._died_s > SESSION_S:
                    member.leave()
        if self not in self._group.members:
            return []
        place = self._group.members.index(self)
        return [n for n in range(PARTITIONS) if n % len(self._group.members) == place]

    async def poll(self, most: int, within_s: float) -> list[tuple[int, Record]]:
        """Return the next records with their partitions; nothing if none came in time."""
        end = self._broker._world.loop.time() + within_s
        while not (found := self._ready(most)) and (left_s := end - self._broker._world.loop.time()) > 0:
            arrived = self._broker.arrived[self._topic]
            arrived.clear()
            try:
                async with asyncio.timeout(left_s):
                    await arrived.wait()
            except TimeoutError:
                break
        await self.process.reach(f"records of {self._topic}")
        if self._broker.away:
            self.rewind()
            return []
        return found

    def _ready(self, most: int) -> list[tuple[int, Record]]:
        if self._broker.away:
            return []
        found: list[tuple[int, Record]] = []
        for partition in self._assigned():
            at = self._positions.get(partition, self._group.committed.get(partition, 0))
            batch = self._broker.logs[self._topic][partition][at : at + most - len(found)]
            found += [(partition, record) for record in batch]
            self._positions[partition] = at + len(batch)
        return found

    def _holds(self, offsets: dict[int, int]) -> bool:
        return offsets.keys() <= set(self._assigned())

    async def commit(self, offsets: dict[int, int]) -> None:
        """Raises KafkaError where the group has gone on without this member, or the broker is away."""
        generation = self._broker.generation
        await self.process.reach(f"commit of {self._topic}")
        if self._broker.away or generation != self._broker.generation or not self._holds(offsets):
            raise KafkaConnectionError("could not commit")
        for partition, offset in offsets.items():
            self._group.committed[partition] = offset

    @property
    def lag(self) -> int:
        logs = self._broker.logs[self._topic]
        return sum(max(len(log) - self._group.committed.get(n, 0), 0) for n, log in enumerate(logs))


class Admin:
    """What tells the broker's generation."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker, self._process = broker, process

    async def _get_cluster_metadata(self, topics: Sequence[str]) -> SimpleNamespace:
        await self._process.reach("look at the broker")
        if self._broker.away:
            raise KafkaConnectionError("no broker")
        return SimpleNamespace(cluster_id=self._broker.generation)


def batch_of(records: Sequence[Record]) -> Any:
    """What FastStream hands to a handler of batches."""
    return SimpleNamespace(raw_message=tuple(records))
