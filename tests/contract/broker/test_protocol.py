"""What only our own broker is asked: how it ends, begins again, and refuses what it does not speak."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.middlewares import AckPolicy

from tests.brokers import local_broker, running_broker
from tests.contract.broker.cluster import ANSWER_WITHIN_S, Cluster, take_values

API_VERSIONS, METADATA, UNKNOWN_API, CREATE_TOPICS = 18, 3, 999, 19
UNSUPPORTED_VERSION = 35
SUBSCRIBERS = 8
ONE_START_S = 0.6  # FastStream starts one after the other; it takes 0.06 s where nothing else runs


class Running(NamedTuple):
    address: str
    log: Path


@pytest.fixture(scope="module")
def ours() -> Iterator[Running]:
    with running_broker() as (address, log):
        yield Running(address, log)


@pytest.fixture
async def cluster(ours: Running) -> AsyncIterator[Cluster]:
    async with Cluster(ours.address) as cluster:
        yield cluster


class Line:
    """A bare connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, key: int, version: int, body: bytes = b"", correlation_id: int = 7) -> None:
        request = struct.pack(">hhih", key, version, correlation_id, -1) + body
        self.send_bytes(struct.pack(">i", len(request)) + request)

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> bytes:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            (length,) = struct.unpack(">i", await self._reader.readexactly(4))
            return await self._reader.readexactly(length)

    async def is_closed_by_the_broker(self) -> bool:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await self._reader.read() == b""


@asynccontextmanager
async def line_to(address: str) -> AsyncIterator[Line]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_an_unknown_api_closes_its_own_connection_only(ours: Running) -> None:
    async with line_to(ours.address) as good, line_to(ours.address) as bad:
        bad.send(UNKNOWN_API, 5)
        assert await bad.is_closed_by_the_broker()
        good.send(API_VERSIONS, 0)
        assert await good.answer()
    assert "api key 999 version 5 is not spoken here" in ours.log.read_text()


async def test_an_unknown_version_of_a_known_api_closes_the_connection(ours: Running) -> None:
    async with line_to(ours.address) as line:
        line.send(METADATA, 99)
        assert await line.is_closed_by_the_broker()
    assert "api key 3 version 99 is not spoken here" in ours.log.read_text()


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_the_versions_that_are_spoken_are_told(ours: Running, version: int) -> None:
    async with line_to(ours.address) as line:
        line.send(API_VERSIONS, version)
        correlation_id, code, count = struct.unpack_from(">ihi", await line.answer())
        assert (correlation_id, code) == (7, 0)
        assert count > 15


async def test_a_newer_way_to_ask_for_versions_is_answered_in_the_oldest(ours: Running) -> None:
    async with line_to(ours.address) as line:
        line.send(API_VERSIONS, 4, b"\x00\x05name\x02v\x00")
        answer = await line.answer()
        _, code, count = struct.unpack_from(">ihi", answer)
        assert code == UNSUPPORTED_VERSION
        assert len(answer) == 10 + 6 * count
        line.send(API_VERSIONS, 0)  # and the client may ask again
        assert struct.unpack_from(">ih", await line.answer()) == (7, 0)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">i", -1),
        struct.pack(">i", 3) + b"abc",
        struct.pack(">i", 2**31 - 1),
        struct.pack(">ihhih", 14, CREATE_TOPICS, 3, 1, -1) + struct.pack(">i", 2**31 - 1),
        struct.pack(">ihhih", 14, METADATA, 5, 1, -1) + struct.pack(">i", 1),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["negative", "too-short", "too-long", "long-array", "cut-off", "http"],
)
async def test_what_cannot_be_read_closes_the_connection(ours: Running, data: bytes) -> None:
    async with line_to(ours.address) as line:
        line.send_bytes(data)
        assert await line.is_closed_by_the_broker()
    assert "Traceback" not in ours.log.read_text()


async def test_requests_sent_ahead_are_answered_in_order(ours: Running) -> None:
    async with line_to(ours.address) as line:
        for correlation_id in range(200):
            line.send(API_VERSIONS, 0, correlation_id=correlation_id)
        answers = [await line.answer() for _ in range(200)]
        assert [struct.unpack_from(">i", answer)[0] for answer in answers] == list(range(200))


async def test_transactions_are_refused_and_not_waited_for(cluster: Cluster) -> None:
    async with asyncio.timeout(ANSWER_WITHIN_S):
        with pytest.raises(KafkaError, match="UnsupportedVersion"):
            await cluster.producer(transactional_id="t")


async def test_topics_are_made_on_demand_if_so_started() -> None:
    with local_broker("--create-unknown-topics") as address:
        async with Cluster(address) as cluster:
            await cluster.send("made-on-demand", b"x", partition=0)
            assert await take_values(await cluster.reader_of("made-on-demand"), 1) == [b"x"]


async def test_a_restart_forgets_everything_and_clients_can_tell() -> None:
    with local_broker() as address:
        cluster = Cluster(address)
        await cluster.__aenter__()
        before = await cluster.admin.describe_cluster()
        topic = await cluster.create_topic()
        producer = await cluster.producer(enable_idempotence=True)
        reader = await cluster.reader_of(topic)
        for value in (b"1", b"2", b"3"):
            await producer.send_and_wait(topic, value)
        assert await take_values(reader, 3) == [b"1", b"2", b"3"]
    with local_broker(port=int(address.split(":")[1])):
        async with Cluster(address) as fresh:
            assert (await fresh.admin.describe_cluster())["cluster_id"] != before["cluster_id"]
            assert topic not in await fresh.admin.list_topics()
            await fresh.create_topic(topic)
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await producer.send_and_wait(topic, b"new")
            assert await take_values(reader, 1) == [b"new"], "though its position was beyond the end"
        await cluster.__aexit__()


async def test_many_faststream_subscribers_start_quickly(cluster: Cluster) -> None:
    broker, received = KafkaBroker(cluster.bootstrap), asyncio.Queue[bytes]()
    topics = [await cluster.create_topic() for _ in range(SUBSCRIBERS)]
    for topic in topics:

        @broker.subscriber(
            topic, group_id=f"g-{topic}", auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR
        )
        async def keep(body: bytes) -> None:
            await received.put(body)

    started = time.monotonic()
    async with broker:
        await broker.start()
        assert time.monotonic() - started < SUBSCRIBERS * ONE_START_S
        for topic in topics:
            await broker.publish(topic.encode(), topic)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            assert {(await received.get()).decode() for _ in topics} == set(topics)
