"""Runs with ``stream: true``: the events on the wire, in both versions."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.gateway.wire.objects import MessageObject, RunObject, RunStepObject, ThreadObject
from shared.runs.model import Json
from tests.integration.running_gateway import KEY, V1, V2, Worker

PLAIN = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
    "done",
]


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"} | V2
    async with httpx.AsyncClient(base_url=f"{url}/v1", headers=headers, timeout=30) as client:
        yield client


async def made(client: httpx.AsyncClient, path: str, **body: Any) -> str:
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, path: str, body: Json, version: dict[str, str] = V2
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Open a stream; give its events as (name, data)."""
    async with client.stream("POST", path, json={**body, "stream": True}, headers=version) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-request-id"].startswith("req_")
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, data if data == "[DONE]" else json.loads(data)


async def test_a_plain_answer_streams_in_the_recorded_order(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    thread = await made(client, "/threads")
    async with streaming(client, f"/threads/{thread}/runs", {"assistant_id": assistant}) as events:
        name, run = await anext(events)
        await worker.finish(run["id"])
        seen = [(name, run)] + [event async for event in events]
    assert [name for name, _ in seen] == PLAIN
    for name, data in seen:
        kind = name.rpartition(".")[0]
        if kind == "thread.run":
            RunObject.model_validate(data)
        elif kind == "thread.run.step":
            RunStepObject.model_validate(data)
        elif kind == "thread.message" and not name.endswith("delta"):
            MessageObject.model_validate(data)
    by_name = dict(seen)
    assert by_name["thread.run.created"]["status"] == "queued"
    assert by_name["thread.message.created"]["content"] == []
    assert by_name["thread.message.delta"]["delta"]["content"][0]["text"]["value"] == "x = 1"
    assert by_name["thread.run.completed"]["usage"]["total_tokens"] == 12
    final = (await client.get(f"/threads/{thread}/runs/{run['id']}")).json()
    assert by_name["thread.run.completed"] == final
    assert by_name["done"] == "[DONE]"


async def test_v1_gets_v1_objects_and_knows_no_incomplete_run(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "hi"}]}}
    async with streaming(client, "/threads/runs", body, V1) as events:
        first, thread = await anext(events)
        assert (first, list(thread)) == ("thread.created", ["id", "object", "created_at", "metadata"])
        _, run = await anext(events)
        assert run["thread_id"] == thread["id"]
        await worker.finish(run["id"], "max_completion_tokens")
        seen = [event async for event in events]
    assert [name for name, _ in seen][-3:] == ["thread.run.step.completed", "thread.run.completed", "done"]
    final = seen[-2][1]
    assert (final["status"], final["incomplete_details"]) == (
        "completed",
        {"reason": "max_completion_tokens"},
    )
    assert "tool_resources" not in final
    message = dict(seen)["thread.message.incomplete"]
    assert (message["file_ids"], "attachments" in message) == ([], False)


async def test_a_stream_stops_for_function_calls_and_another_goes_on(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    async with streaming(client, "/threads/runs", {"assistant_id": assistant}) as events:
        _, thread = await anext(events)
        ThreadObject.model_validate(thread)
        _, run = await anext(events)
        await worker.ask(run["id"], ("call_a", "f"))
        seen = [name async for name, _ in events]
    assert seen[-2:] == ["thread.run.requires_action", "done"]
    assert "thread.run.step.completed" not in seen
    path = f"/threads/{thread['id']}/runs/{run['id']}/submit_tool_outputs"
    outputs = {"tool_outputs": [{"tool_call_id": "call_a", "output": "sunny"}]}
    async with streaming(client, path, outputs) as events:
        first, step = await anext(events)
        assert step["step_details"]["tool_calls"][0]["function"]["output"] == "sunny"
        assert (first, step["usage"]["total_tokens"]) == ("thread.run.step.completed", 12)
        assert (await anext(events))[0] == "thread.run.queued"
        await worker.finish(run["id"])
        rest = [name async for name, _ in events]
    assert rest == PLAIN[2:]


async def test_a_request_that_is_refused_is_plain_json(client: httpx.AsyncClient) -> None:
    body = {"assistant_id": "asst_never", "stream": True}
    response = await client.post("/threads/runs", json=body)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "No assistant found with id 'asst_never'."


async def test_a_cancelled_run_ends_its_stream(client: httpx.AsyncClient, worker: Worker) -> None:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    async with streaming(client, "/threads/runs", {"assistant_id": assistant}) as events:
        await anext(events)
        _, run = await anext(events)
        await client.post(f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
        await worker.settle(run["id"])
        seen = [name async for name, _ in events]
    assert seen == ["thread.run.queued", "thread.run.cancelling", "thread.run.cancelled", "done"]


async def test_a_client_that_leaves_does_not_stop_the_run(client: httpx.AsyncClient, worker: Worker) -> None:
    assistant = await made(client, "/assistants", model="gpt-4", instructions="Be kind.")
    async with streaming(client, "/threads/runs", {"assistant_id": assistant}) as events:
        await anext(events)
        _, run = await anext(events)
    await asyncio.sleep(0)
    await worker.finish(run["id"])
    seen = (await client.get(f"/threads/{run['thread_id']}/runs/{run['id']}")).json()
    assert seen["status"] == "completed"
