"""``GET …/events`` over HTTP: late, several at once, and again from any id on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from shared.stores.database import Database, connect
from tests.eventually import eventually
from tests.integration.running_gateway import KEY, V2, Worker
from tests.integration.test_gateway_streams import PLAIN, made

Record = tuple[str, str, Any]  # id, event, data


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"} | V2
    async with httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def stored(mongo_url: str, database: str) -> AsyncIterator[Database]:
    db = connect(mongo_url, database)
    yield db
    db.client.close()


@pytest.fixture
async def run(client: httpx.AsyncClient) -> dict[str, Any]:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    response = await client.post("/threads/runs", json={"assistant_id": assistant})
    found: dict[str, Any] = response.json()
    return found


def path_of(run: dict[str, Any]) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['id']}/events"


async def records(response: httpx.Response) -> AsyncIterator[Record]:
    id_ = event = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            id_ = value
        elif name == "event":
            event = value
        elif name == "data":
            yield id_, event, value if value == "[DONE]" else json.loads(value)
            id_ = ""


async def read(
    client: httpx.AsyncClient, run: dict[str, Any], last_id: str = "", after: str = ""
) -> list[Record]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    params = {"after": after} if after else {}
    async with client.stream("GET", path_of(run), params=params, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        return [record async for record in records(response)]


async def test_a_run_that_ended_is_told_from_its_begin_or_from_any_id_on(
    client: httpx.AsyncClient, worker: Worker, run: dict[str, Any]
) -> None:
    await worker.finish(run["id"])
    told = await read(client, run)
    assert [event for _, event, _ in told] == PLAIN
    for place, (id_, _, _) in enumerate(told[:-1], 1):
        assert await read(client, run, id_) == told[place:]
    assert [event for _, event, _ in await read(client, run, "", "9")] == PLAIN[-2:]
    assert await read(client, run, "9", "0") == told[-2:]


async def test_several_follow_a_run_at_once_and_leave_no_trace(
    client: httpx.AsyncClient, worker: Worker, run: dict[str, Any], stored: Database
) -> None:
    async def listening(count: int) -> bool:
        found = await stored["runs"].find_one({"_id": run["id"]}) or {}
        return len(found["slots"]) == count

    readers = [asyncio.create_task(read(client, run)) for _ in range(3)]
    await eventually(lambda: listening(3))
    async with AsyncExitStack() as stack:
        gone = await stack.enter_async_context(client.stream("GET", path_of(run)))
        assert await anext(records(gone))
    await eventually(lambda: listening(3))
    await worker.finish(run["id"])
    first, *others = [await reader for reader in readers]
    assert [event for _, event, _ in first] == PLAIN
    assert others == [first, first]
    await eventually(lambda: listening(0))


async def test_it_goes_on_behind_a_call_for_action(
    client: httpx.AsyncClient, worker: Worker, run: dict[str, Any]
) -> None:
    reader = asyncio.create_task(read(client, run))
    await worker.ask(run["id"], ("call_a", "f"))
    outputs = {"tool_outputs": [{"tool_call_id": "call_a", "output": "sunny"}]}
    response = await client.post(path_of(run).replace("events", "submit_tool_outputs"), json=outputs)
    assert response.status_code == 200
    await worker.finish(run["id"])
    told = [event for _, event, _ in await reader]
    assert told.count("thread.run.requires_action") == 1
    assert told[-2:] == ["thread.run.completed", "done"]


@pytest.mark.parametrize("after", ["-1", "x", "3;", "999", "1;a=1" * 999])
async def test_an_id_that_was_never_given_is_refused(
    client: httpx.AsyncClient, run: dict[str, Any], after: str
) -> None:
    for sent in ({"params": {"after": after}}, {"headers": {"Last-Event-ID": after}}):
        response = await client.get(path_of(run), **sent)  # type: ignore[arg-type]
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "after"
