"""The one Kafka loop of the gateway: a partition of ``run-stream``, read without a group, from its end."""

import asyncio
import logging
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.gateway.stream.frames import Arrived, Unreadable, parse
from services.gateway.stream.pace import Pace
from shared.backoff import backoff_s
from shared.kafka import reading, start
from shared.settings import ServiceSettings
from shared.topics import RUN_STREAM

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 100  # a bound for one fetch without news; news end it at once
REQUEST_MS = 5_000
RETRY_S = 2.0  # at most, before the next consumer
MAX_RECORDS = 500  # then the streams get their turn

Deliver = Callable[[str, Arrived, int], None]  # (stream id, frame, bytes of the record)


class Listener:
    """``slot`` is the partition from which frames come now; None while Kafka is away."""

    def __init__(
        self, settings: ServiceSettings, deliver: Deliver, changed: Callable[[], None], pace: Pace
    ) -> None:
        self.slot: int | None = None
        self._settings = settings
        self._deliver = deliver
        self._changed = changed
        self._pace = pace
        self._heard_at = 0.0

    async def listen(self, slot: int) -> None:
        """Read partition ``slot`` until cancelled, through every outage."""
        while True:
            try:
                await self._listen_once(slot)
            except Exception as error:  # whatever it is, streams live from the store meanwhile
                log.warning("the stream topic cannot be read; trying again", exc_info=error)
            finally:
                self._is(None)
            await asyncio.sleep(backoff_s(1, first_s=RETRY_S))

    async def _listen_once(self, slot: int) -> None:
        partition = TopicPartition(self._settings.topic_prefix + RUN_STREAM.name, slot)
        consumer = AIOKafkaConsumer(
            **reading(self._settings),
            client_id="gateway-stream",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=REQUEST_MS,
            retry_backoff_ms=100,
        )
        try:
            await start(consumer)
            consumer.assign([partition])
            if not await consumer.seek_to_end(partition):
                raise TimeoutError(f"no end of {partition} within {REQUEST_MS} ms")
            self._heard_at = time.monotonic()
            self._is(slot)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(consumer))
                tasks.create_task(self._probe(consumer, partition))
        finally:
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=1_000, max_records=MAX_RECORDS)
            for records in batches.values():
                self._heard_at = time.monotonic()
                for record in records:
                    self._take(record.value, record.offset)
            await asyncio.sleep(0)

    def _take(self, value: bytes | None, offset: int) -> None:
        try:
            frame, streams = parse(value)
        except Unreadable as error:
            log.warning("skipped a record that is no frame", extra={"offset": offset, "reason": str(error)})
            return
        for stream in streams:
            self._deliver(stream, frame, len(value or b""))

    async def _probe(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Ask a silent broker whether it is there: the consumer itself never says that it lost it.

        Raises:
            TimeoutError: it is not; a new consumer starts from the configured addresses again.
        """
        unanswered = 0
        while unanswered < self._pace.probes:
            await asyncio.sleep(self._pace.probe_s)
            if time.monotonic() - self._heard_at < self._pace.probe_s or await self._answers(
                consumer, partition
            ):
                unanswered = 0
                self._is(partition.partition)
            else:
                unanswered += 1
                self._is(None)
        raise TimeoutError(f"{unanswered} questions unanswered")

    async def _answers(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
        try:
            async with asyncio.timeout(2 * self._pace.probe_s):
                ends = await consumer.end_offsets([partition])
                if ends[partition] >= await consumer.position(partition):
                    return True
                # A broker that forgot its records counts anew: what it gets next must not be missed.
                return bool(await consumer.seek_to_end(partition))
        except (KafkaError, TimeoutError):
            return False

    def _is(self, slot: int | None) -> None:
        if slot != self.slot:
            self.slot = slot
            log.info("the stream topic is away" if slot is None else "the stream topic is there")
            self._changed()
