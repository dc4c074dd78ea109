"""What sends to the simulated broker."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import KafkaTimeoutError

from shared.publisher import Publisher
from shared.settings import ServiceSettings
from tests.simulation.broker import Broker
from tests.simulation.process import Process

REQUEST_TIMEOUT_S = 10.0  # so long a producer tries again
BETWEEN_S = 1e-6  # two records of one producer
IN_TURN_S = 1e-10  # the same where they were held up, so that thousands find room between two others


class Producer:
    """Keeps the order of what one process sends, as an idempotent producer does; answers may be lost."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process
        self._free_s = 0.0
        self._sent = 0

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[None]:
        await self._process.reach(f"send to {topic}")
        loop = self._process.world.loop
        answer: asyncio.Future[None] = loop.create_future()
        now = loop.time()
        at_s = max(self._free_s + BETWEEN_S, now + self._process.world.latency_s())
        self._sent += 1
        self._at(at_s, self._sent, now, answer, topic, key, value, headers)
        return answer

    async def send_and_wait(self, topic: str, value: bytes, **arguments: Any) -> None:
        await (await self.send(topic, value, **arguments))

    async def stop(self) -> None:
        pass

    def _at(self, at_s: float, number: int, *record: Any) -> None:
        self._free_s = max(self._free_s, at_s)
        self._process.world.loop.call_at(at_s, self._arrive, number, *record)

    def _again_at(self, at_s: float, number: int, *record: Any) -> None:
        """Before all that were sent after it, also those that have not found out yet that they must wait."""
        self._at(at_s + number * IN_TURN_S, number, *record)

    def _arrive(
        self, number: int, sent_s: float, answer: asyncio.Future[None], topic: str, *record: Any
    ) -> None:
        world, broker = self._process.world, self._broker
        if self._process.stopped_until_s > world.loop.time() and not self._process.dead:
            self._again_at(self._process.stopped_until_s, number, sent_s, answer, topic, *record)
            return
        if self._process.dead and world.random.random() < 0.5:
            return  # it was not on the wire yet
        if broker.away:
            if world.loop.time() < sent_s + REQUEST_TIMEOUT_S:
                self._again_at(broker.away_until_s, number, sent_s, answer, topic, *record)
            else:
                _fail(answer)
            return
        broker.append(topic, *record)
        if world.strikes("ack lost", self._process):
            _fail(answer)
        else:
            world.loop.call_later(world.latency_s(), _succeed, answer)


class SimulatedPublisher(Publisher):
    """The product's publisher, over the simulated broker."""

    def __init__(self, settings: ServiceSettings, broker: Broker, process: Process) -> None:
        super().__init__(settings, client_id=process.name)
        self._broker, self._process = broker, process

    async def _start(self, **arguments: Any) -> Any:
        return Producer(self._broker, self._process)


def _succeed(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_result(None)


def _fail(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_exception(KafkaTimeoutError("no answer"))
        answer.exception()  # seen, whether or not anybody waits
