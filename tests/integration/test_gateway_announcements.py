"""What the gateway tells the other services and the public feed, on a real broker."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from shared.events import Control, RunCommand, ThreadEvent
from shared.stores.database import connect
from shared.topics import CONTROL, RUN_COMMANDS, THREAD_EVENTS
from tests.eventually import eventually
from tests.integration.running_gateway import V2, Api, api, running_gateway

TOPICS = (THREAD_EVENTS, RUN_COMMANDS, CONTROL)
Told = dict[str, list[ConsumerRecord]]


@pytest.fixture
def names() -> tuple[str, str]:
    """A database and a topic prefix of this test's own."""
    return f"gateway_{uuid4().hex[:12]}", f"t{uuid4().hex[:8]}."


@pytest.fixture
def client(kafka_bootstrap: str, mongo_url: str, names: tuple[str, str]) -> Iterator[Api]:
    database, prefix = names
    with running_gateway(kafka_bootstrap, mongo_url, database, topic_prefix=prefix) as url:
        client = api(url, V2)
        yield client
        client.client.close()


async def listen(bootstrap: str, prefix: str, *, n: int) -> Told:
    """Return the first ``n`` records by their topics."""
    topics = [prefix + topic.name for topic in TOPICS]
    told: Told = {topic.name: [] for topic in TOPICS}
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest")

    async def complete() -> bool:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                told[record.topic.removeprefix(prefix)].append(record)
        return sum(map(len, told.values())) >= n

    await consumer.start()
    try:
        await eventually(complete, within_s=60)
    finally:
        await consumer.stop()
    return told


def types(records: list[ConsumerRecord], about: str) -> list[str]:
    """The types of the feed's records, each once, as far as they are ``about`` that."""
    found = [dict(record.headers)["ce_type"].decode().removeprefix("dev.threadmill.") for record in records]
    return list(dict.fromkeys(each for each in found if each.startswith(about)))


async def test_what_a_client_does_is_told_at_once(
    client: Api, kafka_bootstrap: str, mongo_url: str, names: tuple[str, str]
) -> None:
    database, prefix = names
    thread, assistant = client.thread(), client.assistant()
    message = client.post(f"/threads/{thread}/messages", {"role": "user", "content": "secret"})
    run = client.post(f"/threads/{thread}/runs", {"assistant_id": assistant})
    client.post(f"/threads/{thread}/runs/{run['id']}/cancel")
    client.delete(f"/threads/{thread}/messages/{message['id']}")

    told = await listen(kafka_bootstrap, prefix, n=8)
    feed = told[THREAD_EVENTS.name]
    assert types(feed, "run.") == ["run.created.v1", "run.queued.v1", "run.cancelling.v1"]
    assert types(feed, "message.") == ["message.created.v1", "message.deleted.v1"]
    assert {ThreadEvent.model_validate_json(record.value).thread_id for record in feed} == {thread}
    assert not any(b"secret" in record.value for record in feed)

    commands = [RunCommand.model_validate_json(record.value) for record in told[RUN_COMMANDS.name]]
    announced = {command.reason: command.published.n for command in commands}
    assert announced == {"created": 2, "cancel_requested": 3}
    [control] = [Control.model_validate_json(record.value) for record in told[CONTROL.name]]
    assert {control.run_id, *(command.run_id for command in commands)} == {run["id"]}

    store = connect(mongo_url, database)

    async def marked() -> bool:
        return await store["messages"].find_one({"unpublished": True}) is None

    await eventually(marked)
    store.client.close()
