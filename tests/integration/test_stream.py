"""Event streams on a real broker and store: from the publisher's frames to what a client gets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from services.gateway.stream.pace import Pace
from services.gateway.stream.streams import Stream, Streams
from shared.errors import NotFound, Unavailable
from shared.kafka import connect_admin, ensure_topics
from shared.publisher import Publisher
from shared.runs.model import Run
from shared.runs.views import Named
from shared.settings import ServiceSettings
from shared.stores.database import Database, connect
from shared.stores.runs import RunStore
from shared.topics import RUN_STREAM
from tests.eventually import eventually
from tests.processes import free_port
from tests.unit.stream_history import History, check, plain

NOWHERE = "mongodb://127.0.0.1:9/?directConnection=true&serverSelectionTimeoutMS=100"
BRISK = Pace(gap_s=0.1, away_s=0.1, quiet_s=0.3, probe_s=0.1, renew_s=0.05)


@pytest.fixture
def settings(kafka_bootstrap: str, mongo_url: str) -> ServiceSettings:
    prefix = f"t{uuid4().hex[:8]}."
    return ServiceSettings(
        kafka_bootstrap=kafka_bootstrap, mongo_url=SecretStr(mongo_url), topic_prefix=prefix
    )


@pytest.fixture
async def publisher(settings: ServiceSettings) -> AsyncIterator[Publisher]:
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    async with Publisher(settings, client_id="test") as publisher:
        yield publisher


@pytest.fixture
async def runs(db: Database) -> RunStore:
    runs = RunStore(db)
    await runs.create_indexes()
    return runs


@pytest.fixture
async def streams(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> AsyncIterator[Streams]:
    async with Streams(settings, db, runs) as streams:
        assert streams.live
        yield streams


def without_kafka(settings: ServiceSettings) -> ServiceSettings:
    return settings.model_copy(update={"kafka_bootstrap": f"127.0.0.1:{free_port()}"})


def history() -> History:
    return plain(f"run_{uuid4().hex}", now=time.time())


async def read(stream: Stream, run: Run, *, after: int = 0) -> list[Named]:
    """Everything that the stream yields, without its pings."""
    async with asyncio.timeout(30), aclosing(stream.follow(run, after=after)) as follow:
        return [named async for named in follow if named]


async def send(
    publisher: Publisher, script: History, *streams: Stream, leave_out: frozenset[int] = frozenset()
) -> None:
    """Send the frames of ``script`` to ``streams``, but those at the places ``leave_out``."""
    slots = tuple(stream.slot for stream in streams)
    for i, frame in enumerate(script.frames):
        if i not in leave_out:
            run = script.stored[i].evolve(slots=slots)
            await publisher.frame(run, frame.seq, frame.n, frame.event, frame.data)


async def test_a_run_is_told_as_it_happens(streams: Streams, publisher: Publisher, runs: RunStore) -> None:
    script, stream = history(), streams.open()
    run = await runs.add(script.stored[0])  # the store never hears of the rest
    reading = asyncio.create_task(read(stream, run))
    await send(publisher, script, stream)
    pairs = await reading
    check(pairs, script.run)
    assert sum(name == "thread.message.delta" for name, _ in pairs) == 4
    await stream.close()


async def test_frames_wait_until_somebody_follows(
    streams: Streams, publisher: Publisher, runs: RunStore
) -> None:
    script, stream = history(), streams.open()
    await send(publisher, script, stream)
    check(await read(stream, script.stored[0]), script.run)
    await stream.close()


async def test_two_streams_follow_one_run(streams: Streams, publisher: Publisher) -> None:
    script, first, second, other = history(), streams.open(), streams.open(), streams.open()
    await send(publisher, script, first, second)
    for stream in (first, second):
        check(await read(stream, script.stored[0]), script.run)
        await stream.close()
    assert len(other._inbox) == 0
    await other.close()


async def test_lost_frames_come_from_the_store(
    streams: Streams, publisher: Publisher, runs: RunStore
) -> None:
    script, stream = history(), streams.open()
    await runs.add(script.run)
    began = time.monotonic()
    await send(publisher, script, stream, leave_out=frozenset({2, 6, 9, 11}))
    check(await read(stream, script.stored[0]), script.run)
    assert 0.3 <= time.monotonic() - began < 3
    await stream.close()


async def test_a_lost_last_frame_does_not_hang_the_stream(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    script = history()
    await runs.add(script.run)
    async with Streams(settings, db, runs, pace=BRISK) as streams:
        stream = streams.open()
        await send(publisher, script, stream, leave_out=frozenset({len(script.frames) - 1}))
        check(await read(stream, script.stored[0]), script.run)
        await stream.close()


async def test_what_is_no_frame_is_skipped(
    streams: Streams, publisher: Publisher, settings: ServiceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    script, stream = history(), streams.open()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        for value in (b"\xff", b"{}", None):
            topic = settings.topic_prefix + RUN_STREAM.name
            await producer.send_and_wait(topic, value, key=b"k", partition=stream.slot.slot)
    await send(publisher, script, stream)
    check(await read(stream, script.stored[0]), script.run)
    assert caplog.text.count("skipped a record that is no frame") == 3
    await stream.close()


async def test_silence_is_broken_by_pings(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    async with Streams(settings, db, runs, pace=Pace(ping_s=0.05)) as streams:
        script, stream = history(), streams.open()
        async with aclosing(stream.follow(script.stored[0], after=2)) as follow:
            assert [await anext(follow) for _ in range(3)] == [None, None, None]
        await stream.close()


async def test_streams_live_from_the_store_without_kafka(
    settings: ServiceSettings, db: Database, runs: RunStore
) -> None:
    pace = Pace(start_s=0.1, away_s=0.1)
    async with Streams(without_kafka(settings), db, runs, pace=pace) as streams:
        assert not streams.live
        script, stream = history(), streams.open()
        run = await runs.add(script.stored[0])
        reading = asyncio.create_task(read(stream, run))
        before = await runs.get(run.id)
        assert before is not None
        await runs.save(before, script.run)
        check(await reading, script.run)
        await stream.close()


async def test_an_unreachable_store_ends_the_stream_of_a_run_that_should_have_ended(
    settings: ServiceSettings,
) -> None:
    lost = connect(NOWHERE, "lost")
    pace = Pace(start_s=0.1, away_s=0.05, quiet_s=0.05, patience_s=0)
    async with Streams(without_kafka(settings), lost, RunStore(lost), pace=pace) as streams:
        stream = streams.open()
        run = history().stored[0].evolve(expires_at=int(time.time()) + 1)
        with pytest.raises(Unavailable):
            await read(stream, run)
        assert time.time() > run.expires_at
        await stream.close()
    lost.client.close()


async def test_a_deleted_run_ends_its_stream(settings: ServiceSettings, db: Database, runs: RunStore) -> None:
    pace = Pace(start_s=0.1, away_s=0.05)
    async with Streams(without_kafka(settings), db, runs, pace=pace) as streams:
        stream = streams.open()
        with pytest.raises(NotFound):
            await read(stream, history().stored[0])
        await stream.close()


async def test_a_stopping_gateway_ends_its_streams(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(Streams(settings, db, runs))
        stream = streams.open()
        reading = asyncio.create_task(read(stream, history().stored[0]))
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await reading
    await stream.close()


async def test_a_closed_stream_gets_nothing_more(streams: Streams, publisher: Publisher) -> None:
    script, closed, open_ = history(), streams.open(), streams.open()
    await closed.close()
    await send(publisher, script, closed, open_)
    check(await read(open_, script.stored[0]), script.run)
    assert len(closed._inbox) == 0
    await open_.close()


async def test_each_process_leases_a_slot_of_its_own(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    async with Streams(settings, db, runs) as one, Streams(settings, db, runs) as two:
        slots = {one.open().slot.slot, two.open().slot.slot}
        assert len(slots) == 2
        assert {slot["_id"] async for slot in db["gateway_slots"].find({})} == slots
    assert [slot async for slot in db["gateway_slots"].find({})] == []


async def test_a_process_that_lost_its_slot_takes_another(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    async with Streams(settings, db, runs, pace=BRISK) as streams:
        old = streams.open()
        taken = {"$set": {"owner": "another", "until": time.time() + 60}}
        await db["gateway_slots"].update_one({"_id": old.slot.slot}, taken)

        async def moved() -> bool:
            return streams.live and streams.open().slot.slot != old.slot.slot

        await eventually(moved)
        script, new = history(), streams.open()
        await runs.add(script.run)
        check(await read(old, script.stored[0]), script.run)  # polled: no frames come there any more
        await send(publisher, script, new)
        check(await read(new, script.stored[0]), script.run)
    assert [slot["owner"] async for slot in db["gateway_slots"].find({})] == ["another"]


async def test_a_lapsed_slot_is_taken_over_and_a_held_one_is_shared(
    settings: ServiceSettings, db: Database, runs: RunStore, publisher: Publisher
) -> None:
    now = time.time()
    held = [{"_id": i, "owner": f"gateway_{i}", "until": now + 60} for i in range(RUN_STREAM.partitions)]
    held[7]["until"] = now - 1
    await db["gateway_slots"].insert_many(held)
    async with Streams(settings, db, runs) as heir, Streams(settings, db, runs) as guest:
        assert heir.open().slot.slot == 7
        script, stream = history(), guest.open()
        await send(publisher, script, stream)
        check(await read(stream, script.stored[0]), script.run)
    assert await db["gateway_slots"].count_documents({}) == RUN_STREAM.partitions - 1
