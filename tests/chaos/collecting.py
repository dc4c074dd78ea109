"""Puts a history together: what the clients noted, and what store and broker have when all is over."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.folder import DataFolder
from services.gateway.keys import fingerprint, new_key
from services.gateway.stores.keys import KeyStore
from shared import topics
from shared.kafka import generation
from shared.stores.database import Database, Document, PyMongoError
from tests.chaos.client import Client
from tests.chaos.history import History, Record, Seen
from tests.chaos.lab import EXPIRY_S, PARTITIONS, SLOT_LEASE_S, Lab
from tests.chaos.model import as_call
from tests.eventually import eventually

SAMPLE_EVERY_S = 0.4
QUIET_WITHIN_S = EXPIRY_S + 60.0
GROUPS = {
    "run-orchestrator.run-commands.v1": topics.RUN_COMMANDS,
    "run-orchestrator.tool-results.v1": topics.TOOL_RESULTS,
}
TOOL_GROUP = "tool-code"
WATCHED = ("thread_id", "status", "epoch", "version")


async def key_of_a_stranger(lab: Lab) -> str:
    """Store a key of another project; return it."""
    kid, key = new_key()
    fields = {
        "fingerprint": fingerprint(key, DataFolder(lab.folder).key_pepper()),
        "project_id": "strangers",
        "name": "a stranger",
        "scopes": ["read", "write"],
        "limits": {},
        "created_at": int(time.time()),
        "expires_at": None,
    }
    async with lab.db() as db:
        await KeyStore(db).add(kid, fields)
    return key


async def sample(lab: Lab, seen: list[Seen]) -> None:
    """Look at the active runs in the store again and again, until cancelled."""
    last: dict[str, int] = {}
    async with lab.db() as db:
        while True:
            with suppress(PyMongoError):
                async for run in db["runs"].find({"watched": "active"}, dict.fromkeys(WATCHED, True)):
                    if last.get(run["_id"]) != run["version"]:
                        last[run["_id"]] = run["version"]
                        fields = {name: run[name] for name in WATCHED}
                        seen.append(Seen("store", time.time(), run["_id"], **fields))
            await asyncio.sleep(SAMPLE_EVERY_S)


async def quiet(lab: Lab) -> None:
    """Wait until nobody has anything to do any more.

    Raises:
        AssertionError: that takes too long.
    """
    async with lab.db() as db:

        async def still() -> bool:
            return not await _busy(db) and not await _untold(lab, db) and not any((await lags(lab)).values())

        await eventually(still, within_s=QUIET_WITHIN_S)


async def _busy(db: Database) -> bool:
    for watched in ("active", "ended"):
        if await db["runs"].find_one({"watched": watched}, {"_id": True}):
            return True
    return await db["messages"].find_one({"unpublished": True}, {"_id": True}) is not None


async def _untold(lab: Lab, db: Database) -> bool:
    """Whether the broker that is there now has yet to get what another one had."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.kafka)
    try:
        await admin.start()
        elsewhere = {"published.generation": {"$ne": await generation(admin)}}
    except KafkaError:
        return True
    finally:
        await admin.close()
    return await db["runs"].find_one(elsewhere, {"_id": True}) is not None


async def collect(lab: Lab, *, seed: int = 0) -> History:
    """All of it, once ``quiet``. What is still not quiet by then shows as violations."""
    with suppress(AssertionError):
        await quiet(lab)
    log = lab.notes
    history = History(seed=seed, ops=log.ops, seen=log.seen, transcripts=log.transcripts)
    history.model_calls = [as_call(request, time.monotonic()) for request in lab.model.requests]
    await _read_store(lab, history)
    await _read_broker(lab, history)
    client = Client("reader", lab.stack.base_url, lab.stack.api_key, lab.notes, random.Random(seed))
    await _read_api(history, client)
    await client.close()
    history.injected, history.disturbed = lab.injected, lab.disturbed
    history.brokers_lost = lab.brokers_lost
    history.ended_at = time.time()
    lately = [at for at in lab.gateway_ends if at > history.ended_at - SLOT_LEASE_S - 1]
    history.gateways = 1 + len(lately)
    folder = DataFolder(lab.folder)
    history.secrets = [folder.api_key(), folder.key_pepper(), folder.call_secret()]
    history.told = lab.log
    history.memory_mb = lab.memory_now()
    return history


async def _read_store(lab: Lab, history: History) -> None:
    async with lab.db() as db:
        history.threads = await _all(db, "threads")
        history.messages = await _all(db, "messages")
        history.runs = await _all(db, "runs")
        history.executions = await _all(db, "tool_executions")
        history.slots = await _all(db, "gateway_slots")
        history.files = await _all(db, "files")
        chunks = db["file_bytes.chunks"].find({}, {"files_id": True})
        history.bytes_of = sorted({str(chunk["files_id"]) async for chunk in chunks})


async def _all(db: Database, name: str) -> list[Document]:
    return [document async for document in db[name].find({})]


async def _read_broker(lab: Lab, history: History) -> None:
    feed = lab.prefix + topics.THREAD_EVENTS.name
    history.feed = [record async for record in records_of(lab.kafka, feed, PARTITIONS)]
    for topic in topics.WORK:
        name = lab.prefix + topic.name + topics.DEAD_LETTER_SUFFIX
        dead = records_of(lab.kafka, name, topics.DEAD_LETTER_PARTITIONS)
        history.dead += [record async for record in dead]
    history.lag = await lags(lab)


async def records_of(kafka: str, topic: str, partitions: int) -> AsyncIterator[Record]:
    """What the topic holds now, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        begins = await consumer.beginning_offsets(places)
        ends = {
            place: end for place, end in (await consumer.end_offsets(places)).items() if end > begins[place]
        }
        while ends:
            for place, batch in (await consumer.getmany(timeout_ms=500)).items():
                for record in batch:
                    yield _record(record)
                if place in ends and await consumer.position(place) >= ends[place]:
                    del ends[place]
    finally:
        await consumer.stop()


def _record(record: ConsumerRecord) -> Record:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    key, value = record.key or b"", record.value or b""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        key.decode(errors="replace"),
        value.decode(errors="replace"),
        headers.get("ce_id", ""),
        headers.get("ce_type", ""),
    )


def groups_of(lab: Lab) -> dict[str, str]:
    """The groups of the services, each with the topic that it reads."""
    names = {lab.prefix + name: topic for name, topic in GROUPS.items()} | {
        TOOL_GROUP: topics.TOOL_REQUESTS_CODE
    }
    return {group: lab.prefix + topic.name for group, topic in names.items()}


async def lags(lab: Lab) -> dict[str, int]:
    """How many records nobody has committed yet, by group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=lab.kafka, group_id=None)
    try:
        await admin.start()
        await consumer.start()
        found = {}
        for group, name in groups_of(lab).items():
            places = [TopicPartition(name, number) for number in range(PARTITIONS)]
            ends = await consumer.end_offsets(places)
            committed = await admin.list_consumer_group_offsets(group, partitions=places)
            done = {place: max(committed[place].offset, 0) if place in committed else 0 for place in places}
            found[f"{group} {name}"] = sum(ends[place] - done[place] for place in places)
        return found
    except KafkaError:
        return {"the broker does not answer": 1}
    finally:
        await consumer.stop()
        await admin.close()


async def _read_api(history: History, client: Client) -> None:
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    paths: dict[tuple[str, str], str] = {}
    for op in history.ops:
        if op.kind in ("assistant", "thread", "message", "run", "file") and op.done:
            inner = {"message": f"/threads/{op.thread_id}/messages/", "run": f"/threads/{op.thread_id}/runs/"}
            paths[op.kind, op.answer["id"]] = inner.get(op.kind, f"/{op.kind}s/") + op.answer["id"]
    for thread_id in gone:
        paths["thread", thread_id] = f"/threads/{thread_id}"
    history.readings = list(
        await asyncio.gather(*(client.read(kind, id_, path) for (kind, id_), path in paths.items()))
    )
