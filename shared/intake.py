"""Takes requests off Kafka: several at once, each committed only when all before it are done too."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared import metrics, tracing
from shared.failpoints import failpoint
from shared.kafka import reading, start
from shared.settings import ServiceSettings

log = logging.getLogger(__name__)

POLL_MS = 200
RETRY_S = 1.0


@dataclass
class Progress:
    """Which records of one partition are done. Lag on the broker is then backlog plus what is in flight."""

    taken: dict[int, bool] = field(default_factory=dict)  # offset -> done, in the order they came
    upto: int = 0  # all before this offset are done

    def finish(self, offset: int) -> int | None:
        """Note a finished record; return the offset to commit, if the finished prefix has grown."""
        if offset not in self.taken:
            return None  # of a time before the partition moved away and back
        self.taken[offset] = True
        commit = None
        for first in list(self.taken):
            if not self.taken[first]:
                break
            del self.taken[first]
            commit = self.upto = first + 1
        return commit


class Intake(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands each record to ``handle``, ``most`` at a time; pauses while all are busy.

    At least once: what was not committed comes again, here or at another worker. ``handle``
    raises nothing: a record that is never done would hold its partition back. When the intake is
    cancelled, what is in flight gets ``drain_s`` seconds to end.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        topic: str,
        group: str,
        handle: Callable[[ConsumerRecord], Awaitable[None]],
        *,
        most: int,
        drain_s: float = 0.0,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._handle = handle
        self._most = most
        self._drain_s = drain_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress: dict[TopicPartition, Progress] = {}
        self._commits: dict[TopicPartition, int] = {}

    async def run(self, *, after: asyncio.Event) -> None:
        """Take records until cancelled; begin once ``after`` says that the topic exists."""
        await after.wait()
        session_ms = int(self._settings.kafka_session_s * 1000)
        while True:
            consumer = AIOKafkaConsumer(
                **reading(self._settings),
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=session_ms // 3,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            try:
                await start(consumer)
                consumer.subscribe([self._topic], listener=self)
                await self._take(consumer)
            except asyncio.CancelledError:
                await self._drain(consumer)
                raise
            except (KafkaError, OSError) as error:
                log.warning("cannot take requests", extra={"reason": repr(error)})
                await asyncio.sleep(RETRY_S)
            finally:
                await self._stop(consumer)

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """What is in flight goes on; the ledger keeps the next owner from doing it twice."""
        for partition in revoked:
            self._progress.pop(partition, None)
            self._commits.pop(partition, None)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        pass

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            room = self._most - len(self._tasks)
            if room > 0:
                consumer.resume(*consumer.paused())
            else:
                consumer.pause(*consumer.assignment())
            records = await consumer.getmany(timeout_ms=POLL_MS, max_records=max(room, 1))
            for partition, batch in records.items():
                for record in batch:
                    self._begin(partition, record)
            await self._commit(consumer)
            self._measure(consumer)

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        """Note what is left to do here: what the broker has, less what is done."""
        lag = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            progress = self._progress.get(partition)
            if end is None or progress is None:
                continue  # nothing came from there
            lag += max(end - progress.upto, 0)
        metrics.LAG.labels(self._topic).set(lag)

    def _begin(self, partition: TopicPartition, record: ConsumerRecord) -> None:
        progress = self._progress.setdefault(partition, Progress())
        if not progress.taken:
            progress.upto = record.offset
        progress.taken[record.offset] = False
        task = asyncio.create_task(self._work(partition, progress, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, partition: TopicPartition, progress: Progress, record: ConsumerRecord) -> None:
        with tracing.received(record.topic, self._group, record):
            await self._handle(record)
        commit = progress.finish(record.offset)
        if commit is not None and self._progress.get(partition) is progress:
            self._commits[partition] = commit

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        if not self._commits:
            return
        commits, self._commits = self._commits, {}
        try:
            failpoint("intake.committing")
            await consumer.commit(commits)
            failpoint("intake.committed")
        except KafkaError as error:
            log.warning("could not commit; trying again", extra={"reason": repr(error)})
            kept = {partition: offset for partition, offset in commits.items() if partition in self._progress}
            self._commits = kept | self._commits

    async def _drain(self, consumer: AIOKafkaConsumer) -> None:
        """Let what is in flight come to its end, for a while; nothing new is taken."""
        if self._tasks and self._drain_s:
            await asyncio.wait(self._tasks, timeout=self._drain_s)
            await self._commit(consumer)

    async def _stop(self, consumer: AIOKafkaConsumer) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await consumer.stop()
