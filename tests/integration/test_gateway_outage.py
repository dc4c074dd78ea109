"""Without its broker the gateway serves, and tells later; without its store it says so."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from shared.settings import ServiceSettings
from shared.topics import THREAD_EVENTS
from tests.brokers import local_broker
from tests.eventually import eventually
from tests.integration.running_gateway import V2, Api, api, running_gateway
from tests.processes import beside_python, free_port, listening

PREFIX = ServiceSettings.model_fields["topic_prefix"].default


@pytest.fixture
def broker_port() -> int:
    return free_port()


@pytest.fixture
def client(mongo_url: str, broker_port: int) -> Iterator[Api]:
    """A gateway whose broker is not there yet."""
    database = f"gateway_{uuid4().hex[:12]}"
    away = f"127.0.0.1:{broker_port}"
    with running_gateway(away, mongo_url, database, announce_after_s=0.1) as url:
        client = api(url, V2)
        yield client
        client.client.close()


def ready(client: Api) -> dict[str, str]:
    response = client.client.get(str(client.client.base_url.copy_with(path="/readyz")))
    assert response.status_code == 200
    answer: dict[str, str] = response.json()
    return answer


async def test_it_serves_without_a_broker_and_announces_messages_later(client: Api, broker_port: int) -> None:
    assert ready(client) == {"status": "degraded", "store": "ok", "kafka": "away"}
    thread, assistant = client.thread("hi"), client.assistant()
    client.post(f"/threads/{thread}/runs", {"assistant_id": assistant})
    [message] = client.get(f"/threads/{thread}/messages")["data"]
    with local_broker(port=broker_port) as bootstrap:
        topic = f"{PREFIX}{THREAD_EVENTS.name}"

        async def connected() -> bool:
            return ready(client)["kafka"] == "ok"

        await eventually(connected, within_s=60)
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            record = await anext(aiter(consumer))
        finally:
            await consumer.stop()
    headers = {name: value.decode() for name, value in record.headers}
    assert headers["ce_type"] == "dev.threadmill.message.created.v1"
    assert json.loads(record.value)["message_id"] == message["id"]


async def test_without_its_store_it_asks_to_try_again(kafka_bootstrap: str, tmp_path: Path) -> None:
    port = free_port()
    command = [beside_python("secantusd-py"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--storage-path", str(tmp_path / "data"), "--cache-size", "64M"]
    mongo_url = f"mongodb://127.0.0.1:{port}/?retryWrites=false&directConnection=true"
    mongo_url += "&serverSelectionTimeoutMS=500"
    with (
        listening(command, port, tmp_path / "log") as store,
        running_gateway(kafka_bootstrap, mongo_url, "gateway") as url,
    ):
        client = api(url, V2)
        with client.client:
            thread = client.thread()
            store.terminate()
            store.wait(60)
            response = client.client.get(f"/threads/{thread}", headers=client.headers)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["type"] == "server_error"
            assert client.client.get(f"{url}/readyz").status_code == 503
            assert client.client.get(f"{url}/livez").status_code == 200
            with listening(command, port, tmp_path / "log"):

                async def served() -> bool:
                    answer = client.client.get(f"/threads/{thread}", headers=client.headers)
                    assert answer.status_code in (200, 503), answer.text
                    return answer.status_code == 200 and bool(answer.json()["id"] == thread)

                # The driver looks twice a second whether its store is there again.
                await eventually(served, within_s=30)
