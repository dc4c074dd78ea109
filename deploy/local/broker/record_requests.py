"""Requests about records: to write, to read, and to find an offset."""

import asyncio
import secrets
from itertools import count
from typing import Any

from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.offset import OffsetRequest_v3
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import InitProducerIdRequest_v0

from deploy.local.broker.errors import ErrorCode, ProtocolError, Refused
from deploy.local.broker.topics import Topics, now_ms
from deploy.local.broker.wire import Handlers, Peer

NO_OFFSET = NO_TIMESTAMP = -1
LATEST, EARLIEST = -1, -2
ACKS = {0, 1, -1}  # there is one copy, so 1 and all (-1) promise the same
NO_THROTTLE = 0


class RecordRequests:
    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        # A producer that outlived an earlier broker must not share its id with a new one.
        self._producer_ids = count(secrets.randbits(40))

    def handlers(self) -> Handlers:
        return {
            ProduceRequest_v7: self.produce,
            FetchRequest_v4: self.fetch,
            OffsetRequest_v3: self.list_offsets,
            InitProducerIdRequest_v0: self.init_producer_id,
        }

    async def produce(self, request: Any, peer: Peer) -> Any:
        answers = [
            (topic, [self._append(topic, partition, data, request) for partition, data in partitions])
            for topic, partitions in request.topics
        ]
        if request.required_acks != 0:
            return request.RESPONSE_TYPE(answers, NO_THROTTLE)
        if any(code for _, partitions in answers for _, code, *_ in partitions):
            raise ProtocolError("a produce request with acks=0 failed, and closing is the only way to tell")
        return None

    def _append(
        self, topic: str, partition: int, data: bytes | None, request: Any
    ) -> tuple[int, ErrorCode, int, int, int]:
        try:
            if request.required_acks not in ACKS:
                raise Refused(ErrorCode.INVALID_REQUIRED_ACKS)
            if request.transactional_id is not None:
                raise Refused(ErrorCode.INVALID_TXN_STATE)
            log = self._topics.log(topic, partition)
            offset = log.append(data or b"", now_ms())
        except Refused as refused:
            return partition, refused.code, NO_OFFSET, NO_TIMESTAMP, NO_OFFSET
        return partition, ErrorCode.NONE, offset, NO_TIMESTAMP, log.start

    async def fetch(self, request: Any, peer: Peer) -> Any:
        """Answers once there are ``min_bytes``, at the latest after ``max_wait_time``; an error at once."""
        deadline = asyncio.get_running_loop().time() + request.max_wait_time / 1000
        with _Reading(self._topics, request) as reading:
            while not reading.is_enough():
                try:
                    async with asyncio.timeout_at(deadline):
                        await reading.news.wait()
                except TimeoutError:
                    break
            return request.RESPONSE_TYPE(NO_THROTTLE, reading.answers)

    async def list_offsets(self, request: Any, peer: Peer) -> Any:
        answers = [
            (topic, [self._find_offset(topic, partition, timestamp) for partition, timestamp in partitions])
            for topic, partitions in request.topics
        ]
        return request.RESPONSE_TYPE(NO_THROTTLE, answers)

    def _find_offset(self, topic: str, partition: int, timestamp: int) -> tuple[int, ErrorCode, int, int]:
        try:
            log = self._topics.log(topic, partition)
            if timestamp < EARLIEST:
                raise Refused(ErrorCode.UNSUPPORTED_VERSION)
        except Refused as refused:
            return partition, refused.code, NO_TIMESTAMP, NO_OFFSET
        if timestamp in (LATEST, EARLIEST):
            return partition, ErrorCode.NONE, NO_TIMESTAMP, log.end if timestamp == LATEST else log.start
        found_timestamp, offset = log.find(timestamp) or (NO_TIMESTAMP, NO_OFFSET)
        return partition, ErrorCode.NONE, found_timestamp, offset

    async def init_producer_id(self, request: Any, peer: Peer) -> Any:
        if request.transactional_id is not None:
            return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.UNSUPPORTED_VERSION, -1, -1)
        return request.RESPONSE_TYPE(NO_THROTTLE, ErrorCode.NONE, next(self._producer_ids), 0)


class _Reading:
    """One fetch request while it waits: ``news`` is set when there may be more than ``answers``."""

    def __init__(self, topics: Topics, request: Any) -> None:
        self._topics = topics
        self._request = request
        self._watched: set[Any] = set()
        self.news = asyncio.Event()
        self.answers: list[Any] = []

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *_: object) -> None:
        for log in self._watched:
            log.watchers.discard(self.news)

    def is_enough(self) -> bool:
        """Read again what there is now."""
        self.news.clear()
        self._bytes = 0
        self._failed = False
        self.answers = [
            (topic, [self._read(topic, *wanted) for wanted in partitions])
            for topic, partitions in self._request.topics
        ]
        return self._failed or self._bytes >= self._request.min_bytes

    def _read(
        self, topic: str, partition: int, offset: int, max_bytes: int
    ) -> tuple[int, ErrorCode, int, int, None, bytes]:
        try:
            log = self._topics.log(topic, partition)
            room = min(max_bytes, self._request.max_bytes - self._bytes)
            batches = log.read(offset, room, at_least_one=self._bytes == 0)
        except Refused as refused:
            self._failed = True
            return partition, refused.code, NO_OFFSET, NO_OFFSET, None, b""
        log.watchers.add(self.news)
        self._watched.add(log)
        found = b"".join(batches)
        self._bytes += len(found)
        return partition, ErrorCode.NONE, log.end, log.end, None, found
