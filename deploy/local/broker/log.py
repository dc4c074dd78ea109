"""One partition: an append-only row of batches in segments, which retention drops from the front."""

import asyncio
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.record.memory_records import MemoryRecords

from deploy.local.broker.batches import Batch
from deploy.local.broker.errors import ErrorCode, Refused
from deploy.local.broker.producers import Producers


class Limits(NamedTuple):
    """Negative means unlimited, as in Kafka's configs."""

    retention_ms: int
    retention_bytes: int
    segment_bytes: int
    max_message_bytes: int


@dataclass
class Segment:
    offsets: list[int] = field(default_factory=list)  # of each batch's first record
    batches: list[bytes] = field(default_factory=list)
    max_timestamps: list[int] = field(default_factory=list)
    size: int = 0
    max_timestamp: int = -1

    def append(self, offset: int, batch: bytes, max_timestamp: int) -> None:
        self.offsets.append(offset)
        self.batches.append(batch)
        self.max_timestamps.append(max_timestamp)
        self.size += len(batch)
        self.max_timestamp = max(self.max_timestamp, max_timestamp)


def _first_offset(segment: Segment) -> int:
    return segment.offsets[0]


class PartitionLog:
    """``start`` is the oldest offset that can be read, ``end`` the next one to be given."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.start = self.end = 0
        self.watchers: set[asyncio.Event] = set()  # set when something was appended, or the topic deleted
        self._segments: list[Segment] = []
        self._size = 0
        self._producers = Producers()

    def append(self, data: bytes, now_ms: int) -> int:
        """Store one batch, or find that it was stored before, and give its offset. Raises Refused."""
        if 0 <= self.limits.max_message_bytes < len(data):
            raise Refused(ErrorCode.MESSAGE_TOO_LARGE)
        batch = Batch.parse(data)
        repeat_of = self._producers.offset_of_repeat(batch)
        if repeat_of is not None:
            return repeat_of
        offset = self.end
        if not self._segments or self._segments[-1].size + len(data) > self.limits.segment_bytes:
            self._segments.append(Segment())
        written_ms = batch.max_timestamp if batch.max_timestamp >= 0 else now_ms
        self._segments[-1].append(offset, batch.stamped(offset), written_ms)
        self._producers.remember(batch, offset)
        self._size += len(data)
        self.end += batch.record_count
        self.trim(now_ms)
        self.wake()
        return offset

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool) -> list[bytes]:
        """The batches from the one that holds ``offset``, within ``max_bytes``. Raises Refused.

        Args:
            at_least_one: give the first batch even if it alone is larger, so that a reader gets on.
        """
        if not self.start <= offset <= self.end:
            raise Refused(ErrorCode.OFFSET_OUT_OF_RANGE)
        found: list[bytes] = []
        if offset == self.end:
            return found
        first_segment = bisect_right(self._segments, offset, key=_first_offset) - 1
        position = bisect_right(self._segments[first_segment].offsets, offset) - 1
        for segment in self._segments[first_segment:]:
            for batch in segment.batches[position:]:
                max_bytes -= len(batch)
                if max_bytes < 0 and (found or not at_least_one):
                    return found
                found.append(batch)
            position = 0
        return found

    def find(self, timestamp: int) -> tuple[int, int] | None:
        """Timestamp and offset of the first record that is not older; None if all are."""
        for segment in self._segments:
            if segment.max_timestamp < timestamp:
                continue
            for offset, batch, newest in zip(
                segment.offsets, segment.batches, segment.max_timestamps, strict=True
            ):
                if newest >= timestamp:
                    return _first_not_older(batch, timestamp) or (newest, offset)
        return None

    def trim(self, now_ms: int) -> None:
        """Drop the segments that are too old, and those beyond the size the topic may keep."""
        limits, segments = self.limits, self._segments
        while (
            limits.retention_ms >= 0 and segments and segments[0].max_timestamp < now_ms - limits.retention_ms
        ):
            self._drop_first_segment()
        while limits.retention_bytes >= 0 and len(segments) > 1:
            if self._size - segments[0].size < limits.retention_bytes:
                break
            self._drop_first_segment()

    def wake(self) -> None:
        for watcher in self.watchers:
            watcher.set()

    def _drop_first_segment(self) -> None:
        self._size -= self._segments.pop(0).size
        self.start = self._segments[0].offsets[0] if self._segments else self.end


def _first_not_older(batch: bytes, timestamp: int) -> tuple[int, int] | None:
    """None where the batch cannot be opened, as when its compression is not installed here."""
    try:
        records = MemoryRecords(batch).next_batch() or ()
        found = ((record.timestamp or 0, record.offset) for record in records)
        return next((place for place in found if place[0] >= timestamp), None)
    except (KafkaError, RuntimeError, ValueError):
        return None
