"""Everything that leaves a service for Kafka, apart from what FastStream answers by itself.

Announcing is safe to repeat and may fail: the events stay in their document until a
watermark says that the broker has them, and a sweeper announces what was left.
"""

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError
from pydantic import BaseModel

from shared import clock, feed, metrics, topics, tracing
from shared.dead_letters import MOST_BYTES, Cause, headers_of
from shared.events import Control, FileCommand, Frame, RunCommand
from shared.failpoints import failpoint
from shared.kafka import connection, start
from shared.runs.model import Event, Published, Run, Slot
from shared.runs.views import WITHDRAWN, at_event
from shared.settings import ServiceSettings
from shared.tasks import until_done

log = logging.getLogger(__name__)

BROKER_AWAY = (KafkaError, OSError)  # TimeoutError is an OSError
Record: TypeAlias = tuple[topics.Topic, str | None, feed.Headers, BaseModel]

AT_ONCE = 500  # records that are sent before the first of them is waited for
PATIENCE_S = 2.0  # how long a caller waits for the broker before the sweeper has to do it


class Publisher:
    """Two producers: ``acks=all`` for what counts, ``acks=1`` for the frames of open streams.

    Starts without waiting for a broker; while none is there, nothing is delivered.
    """

    def __init__(self, settings: ServiceSettings, *, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._prefix = settings.topic_prefix
        self._durable: AIOKafkaProducer | None = None
        self._fast: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self.generation = ""  # the broker's, as last seen; kept by whoever watches it

    async def __aenter__(self) -> Self:
        self._connecting = asyncio.create_task(until_done(self._connect, BROKER_AWAY, what="the broker"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connecting.cancel()
        producers = [producer for producer in (self._durable, self._fast) if producer]
        await asyncio.gather(
            self._connecting, *(producer.stop() for producer in producers), return_exceptions=True
        )

    async def _connect(self) -> None:
        if self._durable is None:
            self._durable = await self._start(acks="all", enable_idempotence=True, request_timeout_ms=10_000)
        self._fast = await self._start(acks=1, request_timeout_ms=5_000)
        self._connected.set()

    async def _start(self, **arguments: Any) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**connection(self._settings), client_id=self._client_id, **arguments)
        try:
            await start(producer)
        except BaseException:
            await producer.stop()
            raise
        return producer

    def untold(self, run: Run) -> tuple[Event, ...]:
        """Return the events that nobody is known to have told the broker that is there."""
        return run.events[run.published.n if run.published.generation == self.generation else 0 :]

    async def announce(self, run: Run) -> Run:
        """Send the run's unpublished events to the feed and to open streams, in order.

        Returns the run with its watermark moved, or as it was if the broker did not answer.
        """
        generation = self.generation  # another may be there by the time the records have arrived
        new = self.untold(run)
        if not new or not generation:  # what nobody could find again if that broker forgets it
            return run
        for event in new:
            if run.slots and event.type != WITHDRAWN:
                await self.frame(run, event.seq, 0, event.type, at_event(run, event))
        records = [(topics.THREAD_EVENTS, run.thread_id, *feed.run_event(run, event)) for event in new]
        if not await self._deliver(records):
            return run
        return run.evolve(published=Published(generation=generation, n=len(run.events)))

    async def announce_message(
        self, name: str, message_id: str, thread_id: str, project_id: str, at: float
    ) -> bool:
        """Tell the feed what a client did to a message; whether the broker took it."""
        envelope = feed.message_event(name, message_id, thread_id, project_id, at)
        return await self._deliver([(topics.THREAD_EVENTS, thread_id, *envelope)])

    async def command(self, command: RunCommand) -> bool:
        """Ring for an orchestrator; whether the broker took it. A lost command is found by the sweeper."""
        return await self._deliver([(topics.RUN_COMMANDS, command.thread_id, [], command)])

    async def request(self, topic: topics.Topic, key: str, message: BaseModel) -> bool:
        """Send a tool request or a tool result; whether the broker took it."""
        return await self._deliver([(topic, key, [], message)])

    async def file_commands(self, commands: Sequence[FileCommand]) -> None:
        """Ring for those who take files in. What the broker does not take is found by a sweeper."""
        for start_ in range(0, len(commands), AT_ONCE):
            part = commands[start_ : start_ + AT_ONCE]
            records: list[Record] = [
                (topics.FILE_COMMANDS, each.file_id or each.vector_store_id, [], each) for each in part
            ]
            if not await self._deliver(records):
                return

    async def set_aside(self, record: ConsumerRecord, cause: Cause) -> bool:
        """Keep a record that can never be processed, for a person to look at; whether the broker took it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                durable = await self._producer("_durable")
                await durable.send_and_wait(
                    record.topic + topics.DEAD_LETTER_SUFFIX,
                    (record.value or b"")[:MOST_BYTES],
                    key=record.key,
                    headers=headers_of(record, cause, clock.now()),
                )
        except BROKER_AWAY as error:
            log.error("could not set a record aside", exc_info=error)
            return False
        metrics.DEAD_LETTERS.labels(record.topic.removeprefix(self._prefix)).inc()
        return True

    async def control(self, message: Control) -> bool:
        return await self._deliver([(topics.CONTROL, None, [], message)])

    async def frame(self, run: Run, seq: int, n: int, event: str, data: dict[str, Any]) -> None:
        """Send one frame to each gateway that has a stream of the run open. Frames may be lost."""
        frame = Frame(run_id=run.id, epoch=run.epoch, seq=seq, n=n, event=event, data=data, streams=())
        await self.frame_to(run.slots, frame)

    async def frame_to(self, slots: Sequence[Slot], frame: Frame) -> None:
        """Send ``frame`` to these streams, once to each of their gateways. It may be lost."""
        by_slot: dict[int, list[str]] = {}
        for slot in slots:
            by_slot.setdefault(slot.slot, []).append(slot.stream)
        for partition, streams in by_slot.items():
            addressed = frame.model_copy(update={"streams": tuple(streams)})
            await self._send_fast(partition, _encode(addressed))

    async def _send_fast(self, partition: int, value: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                fast = await self._producer("_fast")
                topic = self._prefix + topics.RUN_STREAM.name
                future = await fast.send(topic, value, partition=partition)
                failpoint("publisher.frame_sent")
        except BROKER_AWAY as error:
            log.debug("a frame was lost; the stream reads it from the store", exc_info=error)
        else:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _deliver(self, records: Sequence[Record]) -> bool:
        """Send ``records`` in order and wait until the broker has all of them, within ``PATIENCE_S``."""
        first = records[0][0].name
        with tracing.sending(self._prefix + first, len(records)) as span:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._send(records, tracing.headers())
            except BROKER_AWAY as error:
                span.fail(type(error).__name__)
                metrics.NOT_TOLD.labels(first).inc(len(records))
                log.warning("the broker did not take a message; the sweeper repeats it", exc_info=error)
                return False
        return True

    async def _send(self, records: Sequence[Record], traced: feed.Headers) -> None:
        durable = await self._producer("_durable")
        acks = [
            await durable.send(
                self._prefix + topic.name,
                _encode(message),
                key=key.encode() if key else None,
                headers=feed.traced(headers, traced),
            )
            for topic, key, headers, message in records
        ]
        failpoint("publisher.record_sent")
        await asyncio.gather(*acks)
        failpoint("publisher.delivered")

    async def _producer(self, name: Literal["_durable", "_fast"]) -> AIOKafkaProducer:
        await self._connected.wait()
        return getattr(self, name)


def _encode(message: BaseModel) -> bytes:
    return message.model_dump_json().encode()
