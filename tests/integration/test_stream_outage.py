"""Event streams while the broker goes away and comes back, having forgotten everything."""

import asyncio
from uuid import uuid4

from services.gateway.stream.pace import Pace
from services.gateway.stream.streams import Streams
from shared.kafka import connect_admin, ensure_topics
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.stores.database import Database
from shared.stores.runs import RunStore
from tests.brokers import local_broker
from tests.eventually import eventually
from tests.integration.test_stream import history, read, send
from tests.processes import free_port
from tests.unit.stream_history import check

BRISK = Pace(away_s=0.1, probe_s=0.1, start_s=0.1)


async def make_topics(settings: ServiceSettings) -> None:
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()


async def test_streams_survive_a_broker_that_forgets(db: Database) -> None:
    port = free_port()
    settings = ServiceSettings(kafka_bootstrap=f"127.0.0.1:{port}", topic_prefix=f"t{uuid4().hex[:8]}.")
    runs = RunStore(db)

    async def live() -> bool:
        return streams.live

    async def away() -> bool:
        return not streams.live

    async with Streams(settings, db, runs, pace=BRISK) as streams:
        with local_broker(port=port):
            await make_topics(settings)
            await eventually(live)
            before = history()
            stream = streams.open()
            run = await runs.add(before.stored[0])
            reading = asyncio.create_task(read(stream, run))
            async with Publisher(settings, client_id="test") as publisher:
                await send(publisher, before, stream, leave_out=frozenset(range(8, 99)))
        await eventually(away)
        await runs.save(run, before.run)
        check(await reading, before.run)
        with local_broker(port=port):
            await make_topics(settings)
            await eventually(live, within_s=60)
            after, again = history(), streams.open()
            async with Publisher(settings, client_id="test") as publisher:
                await send(publisher, after, again)
                check(await read(again, after.stored[0]), after.run)
