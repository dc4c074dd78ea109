"""What Threadmill needs of a broker, asked of ours and (see TEST_KAFKA) of Apache Kafka: records, offsets.

Topics, groups and the bare protocol are asked in ``tests/contract/broker``.
"""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tests.contract.broker.cluster import TOO_LONG_MS, Cluster, take, take_values
from tests.eventually import eventually

pytest_plugins = ["tests.contract.broker.fixtures"]

AT_ONCE_S = 6.0  # with room for a busy machine, and far below what a fetch may wait in these tests
CORRUPT_MESSAGE, OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH = 2, 45, 47


async def test_records_come_back_in_order_with_keys_headers_and_tombstones(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer()
    for number in range(100):
        await producer.send(topic, b"%d" % number, key=b"k", headers=[("n", b"%d" % number)])
    await producer.send_and_wait(topic, None, key=b"k")

    records = await take(await cluster.reader_of(topic), 101)

    assert [record.offset for record in records] == list(range(101))
    assert [record.value for record in records] == [b"%d" % n for n in range(100)] + [None]
    assert {record.key for record in records} == {b"k"}
    assert records[7].headers == (("n", b"7"),)


async def test_four_producers_on_one_partition_lose_nothing(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    reader = await cluster.reader_of(topic)
    producers = [await cluster.producer() for _ in range(4)]

    async def write(producer: AIOKafkaProducer, name: int) -> None:
        for number in range(200):
            await producer.send_and_wait(topic, b"%d/%d" % (name, number))

    async with asyncio.TaskGroup() as writers:
        for name, producer in enumerate(producers):
            writers.create_task(write(producer, name))
        records = await take(reader, 800)  # while they write

    assert [record.offset for record in records] == list(range(800))
    for name in range(4):
        own = [record.value for record in records if (record.value or b"").startswith(b"%d/" % name)]
        assert own == [b"%d/%d" % (name, number) for number in range(200)]


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_every_kind_of_acknowledgement_stores_the_record(cluster: Cluster, acks: int | str) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer(acks=acks)
    await producer.send_and_wait(topic, b"x")
    assert await take_values(await cluster.reader_of(topic), 1) == [b"x"]


async def test_a_compressed_batch_is_passed_through(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer(compression_type="gzip", linger_ms=50)
    await asyncio.gather(*(producer.send_and_wait(topic, b"a" * 1000) for _ in range(20)))
    assert await take_values(await cluster.reader_of(topic), 20) == [b"a" * 1000] * 20


async def test_a_waiting_reader_is_woken_by_a_record(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer()
    reader = await cluster.reader_of(topic, fetch_max_wait_ms=TOO_LONG_MS)
    assert await reader.getmany(timeout_ms=300) == {}  # by now its fetch waits at the broker

    sent = time.monotonic()
    await producer.send_and_wait(topic, b"x")
    assert await take_values(reader, 1) == [b"x"]
    assert time.monotonic() - sent < AT_ONCE_S


async def test_a_fetch_waits_for_as_many_bytes_as_it_asks_for(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.send(topic, b"x" * 100)

    def fetch(min_bytes: int, max_wait_ms: int) -> FetchRequest:
        return FetchRequest(max_wait_ms, min_bytes, 2**20, 0, [(topic, [(0, 0, 2**20)])])

    started = time.monotonic()
    response = await cluster.ask(fetch(min_bytes=10_000, max_wait_ms=400))
    assert time.monotonic() - started >= 0.4
    assert b"x" * 100 in response.topics[0][1][0][-1]  # what there is, in the end

    waiting = asyncio.create_task(cluster.ask(fetch(min_bytes=10_000, max_wait_ms=TOO_LONG_MS)))
    await cluster.send(topic, b"y" * 5_000, b"z" * 5_000)
    async with asyncio.timeout(AT_ONCE_S):
        assert b"z" * 5_000 in (await waiting).topics[0][1][0][-1]


async def test_a_fetch_gives_no_more_than_asked_for_but_always_one_batch(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.send(topic, b"1" * 1000, b"2" * 1000, b"3" * 1000)

    async def fetched(max_bytes: int) -> bytes:
        response = await cluster.ask(FetchRequest(500, 1, max_bytes, 0, [(topic, [(0, 0, 2**20)])]))
        data: bytes = response.topics[0][1][0][-1]
        return data

    assert b"1" * 1000 in await fetched(1)
    assert b"2" * 1000 not in await fetched(1)
    assert b"2" * 1000 in await fetched(2500)
    assert b"3" * 1000 in await fetched(10_000)


async def test_an_idempotent_producer_writes_each_record_once(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer(enable_idempotence=True)
    await asyncio.gather(*(producer.send_and_wait(topic, b"%d" % n) for n in range(300)))
    assert await cluster.bounds(topic) == (0, 300)


async def test_a_repeated_sequence_is_stored_once_and_a_gap_refused(cluster: Cluster) -> None:
    topic = await cluster.create_topic()

    async def new_producer_id() -> int | None:
        response = await cluster.ask(InitProducerIdRequest(None, 0))
        return response.producer_id if response.error_code == 0 else None

    producer_id = await eventually(new_producer_id)  # a fresh Kafka has none to give at first

    async def write(sequence: int, epoch: int = 0) -> tuple[int, int]:
        batch = _batch(producer_id, epoch, sequence, records=2)
        response = await cluster.ask(ProduceRequest(None, -1, 5000, [(topic, [(0, batch)])]))
        _, code, offset, *_ = response.topics[0][1][0]
        return code, offset

    assert await write(sequence=0) == (0, 0)
    assert await write(sequence=2) == (0, 2)
    assert await write(sequence=0) == (0, 0), "a repeat is answered as it was the first time"
    assert await write(sequence=2) == (0, 2)
    assert (await write(sequence=6))[0] == OUT_OF_ORDER_SEQUENCE
    assert await write(sequence=0, epoch=1) == (0, 4), "a newer epoch starts again"
    assert (await write(sequence=4, epoch=0))[0] == INVALID_PRODUCER_EPOCH
    assert await cluster.bounds(topic) == (0, 6)


async def test_a_corrupt_batch_is_refused(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    batch = bytearray(_batch(-1, -1, -1, records=1))
    batch[-3] ^= 1
    response = await cluster.ask(ProduceRequest(None, -1, 5000, [(topic, [(0, bytes(batch))])]))
    assert response.topics[0][1][0][1] == CORRUPT_MESSAGE
    assert await cluster.bounds(topic) == (0, 0)


async def test_a_record_beyond_the_size_of_its_topic_is_refused(cluster: Cluster) -> None:
    topic = await cluster.create_topic(max_message_bytes="1000")
    producer = await cluster.producer()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, b"x" * 2000)
    await producer.send_and_wait(topic, b"x" * 500)
    assert await cluster.bounds(topic) == (0, 1)


async def test_earliest_and_latest_are_where_they_should_be(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer(linger_ms=50)
    await asyncio.gather(*(producer.send_and_wait(topic, b"%d" % n) for n in range(10)))  # one batch
    reader = await cluster.reader_of(topic, auto_offset_reset="latest")
    place = TopicPartition(topic, 0)

    assert await reader.position(place) == 10
    await reader.seek_to_beginning(place)
    assert await reader.position(place) == 0
    await reader.seek_to_end(place)
    assert await reader.position(place) == 10
    reader.seek(place, 4)  # inside the batch
    assert await take_values(reader, 2) == [b"4", b"5"]


async def test_an_offset_is_found_by_time(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    producer = await cluster.producer(linger_ms=50)
    start_ms = time.time_ns() // 1_000_000 - 60_000
    sends = (producer.send_and_wait(topic, b"x", timestamp_ms=start_ms + n * 10) for n in range(10))
    await asyncio.gather(*sends)  # one batch
    await producer.send_and_wait(topic, b"x", timestamp_ms=start_ms + 1000)
    reader, place = await cluster.reader_of(topic), TopicPartition(topic, 0)

    async def find(timestamp_ms: int) -> tuple[int, int] | None:
        found = (await reader.offsets_for_times({place: timestamp_ms}))[place]
        return found and (found.offset, found.timestamp - start_ms)

    assert await find(0) == (0, 0)
    assert await find(start_ms + 35) == (4, 40)
    assert await find(start_ms + 91) == (10, 1000)
    assert await find(start_ms + 1001) is None


async def test_a_position_out_of_range_is_reset_or_reported(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.send(topic, b"x")
    place = TopicPartition(topic, 0)

    reader = await cluster.reader_of(topic)
    reader.seek(place, 1000)
    assert await take_values(reader, 1) == [b"x"]

    strict = await cluster.reader_of(topic, auto_offset_reset="none")
    strict.seek(place, 1000)
    with pytest.raises(OffsetOutOfRangeError):
        await take(strict, 1)


async def test_retention_by_size_drops_the_oldest_records(cluster: Cluster) -> None:
    topic = await cluster.create_topic(retention_bytes=str(2**20), segment_bytes=str(2**20))
    await cluster.send(topic, *[b"x" * 500_000 for _ in range(10)])

    async def first_kept() -> int:
        return (await cluster.bounds(topic))[0]

    first = await eventually(first_kept)
    assert 2 <= first <= 8
    records = await take(await cluster.reader_of(topic), 10 - first)
    assert [record.offset for record in records] == list(range(first, 10))


async def test_retention_by_age_drops_old_records(cluster: Cluster) -> None:
    topic = await cluster.create_topic(retention_ms="1000")
    await cluster.send(topic, b"old")

    async def all_dropped() -> bool:
        return await cluster.bounds(topic) == (1, 1)

    await eventually(all_dropped)
    producer = await cluster.producer()
    assert (await producer.send_and_wait(topic, b"new")).offset == 1, "the numbers go on"


def _batch(producer_id: int, epoch: int, sequence: int, *, records: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=2**16,
    )
    for number in range(records):
        now_ms = time.time_ns() // 1_000_000
        builder.append(number, timestamp=now_ms, key=None, value=b"some value", headers=[])
    return bytes(builder.build())
