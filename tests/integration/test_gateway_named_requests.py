"""Requests that a client names by an ``Idempotency-Key``."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from services.gateway.ledger import Ledger
from services.gateway.stores.requests import RequestStore
from shared.errors import InvalidRequest
from shared.stores.database import connect
from tests.integration.running_gateway import V2, Api, api
from tests.integration.test_gateway_idempotency import HELLO, finish, send


@pytest.fixture
def direct(url: str) -> Iterator[Api]:
    made = api(url, V2)
    yield made
    made.client.close()


def test_a_named_request_is_answered_alike_for_a_day(direct: Api) -> None:
    thread, name = direct.thread(), uuid4().hex
    path = f"/threads/{thread}/messages"
    answers = [send(direct, path, HELLO, **{"Idempotency-Key": name}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert len(direct.get(path)["data"]) == 1
    other = send(direct, path, {**HELLO, "content": "Bye."}, **{"Idempotency-Key": name})
    assert other.status_code == 400
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_a_refusal_of_a_named_request_is_repeated_too(direct: Api) -> None:
    name = {"Idempotency-Key": uuid4().hex}
    refusals = [send(direct, "/threads/thread_x/messages", HELLO, **name) for _ in range(2)]
    assert [each.status_code for each in refusals] == [404, 404]
    assert refusals[0].content == refusals[1].content
    assert refusals[1].headers["idempotent-replayed"] == "true"


def test_twins_of_a_named_request_make_one_object(direct: Api) -> None:
    thread = direct.thread()
    name = {"Idempotency-Key": uuid4().hex}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: send(direct, f"/threads/{thread}/messages", HELLO, **name), range(8))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(direct.get(f"/threads/{thread}/messages")["data"]) == 1


async def test_a_twin_waits_for_the_first_and_gives_up(mongo_url: str) -> None:

    db = connect(mongo_url, f"test_{uuid4().hex[:12]}")
    async with Ledger(RequestStore(db)) as one, Ledger(RequestStore(db)) as two:
        entry = await one.begin_named("name", "request")
        began = time.monotonic()
        with pytest.raises(InvalidRequest, match="still being processed"):
            await two.begin_named("name", "request")
        assert 9 < time.monotonic() - began < 14
        waiting = asyncio.create_task(two.begin_named("name", "request"))
        await one.keep(entry, {"stream": False})
        assert (await waiting).answer == {"stream": False}
    await db.client.drop_database(db.name)
    db.client.close()


def test_a_named_stream_is_joined_from_its_start(direct: Api, mongo_url: str, database: str) -> None:
    assistant, thread = direct.assistant(), direct.thread("Hello.")
    name = {"Idempotency-Key": uuid4().hex, **direct.headers}
    body = {"assistant_id": assistant, "stream": True}
    path = f"/threads/{thread}/runs"
    with direct.client.stream("POST", path, json=body, headers=name) as first:
        lines = first.iter_lines()
        assert next(lines) == "event: thread.run.created"
    [run] = [each["id"] for each in direct.get(path)["data"]]
    asyncio.run(finish(mongo_url, database, run))
    with direct.client.stream("POST", path, json=body, headers=name) as second:
        events = [line.removeprefix("event: ") for line in second.iter_lines() if line.startswith("event: ")]
    assert events[0] == "thread.run.created"
    assert events[-2:] == ["thread.run.completed", "done"]
    assert len(direct.get(path)["data"]) == 1
