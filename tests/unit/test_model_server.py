"""The tests' own model: the scripted behaviours, seen through the official client."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Literal, cast

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from tests.eventually import eventually
from tests.model_script import Gate, Reply, call, code, fail, function, say
from tests.model_server import ModelServer

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOL: Any = {"type": "function", "function": {"name": "code_interpreter", "parameters": {"type": "object"}}}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def client(model: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=model.url, api_key="test", max_retries=0) as client:
        yield client


async def chunks(client: AsyncOpenAI, model: str = "any", messages: Any = HELLO) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}, tools=[TOOL]
    )
    async with stream:
        return [chunk async for chunk in stream]


def text_of(received: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in received if c.choices)


async def text(client: AsyncOpenAI, model: str = "any") -> str | None:
    completion = await client.chat.completions.create(model=model, messages=HELLO)
    return completion.choices[0].message.content


async def test_scripts_are_used_up_in_order(model: ModelServer, client: AsyncOpenAI) -> None:
    model.script(say("one"), say("two"))
    model.script(say("own"), model="mine")
    assert [await text(client) for _ in range(2)] == ["one", "two"]
    assert await text(client, "mine") == "own"
    assert await text(client) == "echo: Hello there"
    assert model.unused == 0
    assert [r.body["messages"] for r in model.requests] == [HELLO] * 4
    assert model.requests[0].arrived_at <= model.requests[-1].arrived_at <= time.monotonic()


async def test_streams_deltas_and_usage(model: ModelServer, client: AsyncOpenAI) -> None:
    model.script(say("Hi ", "there"))
    received = await chunks(client)
    assert text_of(received) == "Hi there"
    assert received[-2].choices[0].finish_reason == "stop"
    assert received[-1].usage is not None
    assert received[-1].usage.total_tokens == 15


async def test_streams_parallel_calls(model: ModelServer, client: AsyncOpenAI) -> None:
    model.script(call(code("print(1)"), function("f", a=1), say_first="Look."))
    arguments = {0: "", 1: ""}
    for chunk in await chunks(client):
        for part in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
            assert part.function is not None
            arguments[part.index] += part.function.arguments or ""
    assert arguments == {0: '{"code": "print(1)"}', 1: '{"a": 1}'}


@pytest.mark.parametrize("before", [0, 2])
async def test_a_gate_holds_the_reply(model: ModelServer, client: AsyncOpenAI, before: int) -> None:
    gate = Gate()
    model.script(Reply(deltas=("a", "b"), gate=gate, gate_before=before))
    answer = asyncio.create_task(chunks(client))
    await gate.reached()
    assert not answer.done()
    gate.open()
    assert text_of(await answer) == "ab"


async def test_notices_that_the_client_left(model: ModelServer, client: AsyncOpenAI) -> None:
    gate = Gate()
    model.script(Reply(deltas=("a",), gate=gate))
    answer = asyncio.create_task(chunks(client))
    await gate.reached()
    answer.cancel()

    async def left() -> bool:
        return model.requests[0].client_left

    await eventually(left)


async def test_fails_so_many_times_for_each_conversation(model: ModelServer, client: AsyncOpenAI) -> None:
    for conversation in ("a", "b"):
        messages: Any = [{"role": "user", "content": conversation}]
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model="fault-429-7x2", messages=messages)
            assert caught.value.response.headers["retry-after"] == "7"
        await client.chat.completions.create(model="fault-429-7x2", messages=messages)


async def test_a_script_may_fail(model: ModelServer, client: AsyncOpenAI) -> None:
    model.script(fail(503), say("then this"))
    with pytest.raises(openai.InternalServerError):
        await text(client)
    assert await text(client) == "then this"


@pytest.mark.parametrize(("name", "status"), [("fault-500", 500), ("fault-503", 503), ("fault-401", 401)])
async def test_fails_always(client: AsyncOpenAI, name: str, status: int) -> None:
    for _ in range(3):
        with pytest.raises(openai.APIStatusError) as caught:
            await text(client, name)
        assert caught.value.status_code == status


async def test_breaks_the_connection(model: ModelServer) -> None:
    body = {"model": "fault-cut-3", "messages": HELLO, "stream": True}
    received: list[bytes] = []

    async def read(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", f"{model.url}/chat/completions", json=body) as response:
            async for data in response.aiter_bytes():
                received.append(data)  # noqa: PERF401  # a comprehension would lose all at the error

    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await read(client)
        assert b"".join(received).count(b"data: ") == 3
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{model.url}/chat/completions", json=body | {"stream": False})
        once = body | {"model": "fault-cut-0x1", "stream": False}
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{model.url}/chat/completions", json=once)
        assert (await client.post(f"{model.url}/chat/completions", json=once)).status_code == 200


async def test_hangs(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="fault-hang", messages=HELLO, timeout=0.2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fault-length", "length"),
        ("fault-filter", "content_filter"),
        ("fault-badargs", "tool_calls"),
        ("echo", "stop"),
    ],
)
async def test_finishes_for_a_reason(
    client: AsyncOpenAI, name: str, reason: Literal["length", "content_filter", "tool_calls", "stop"]
) -> None:
    received = await chunks(client, name)
    assert next(c.choices[0].finish_reason for c in reversed(received) if c.choices) == reason


async def test_other_faults(client: AsyncOpenAI) -> None:
    assert not any(chunk.choices for chunk in await chunks(client, "fault-empty"))
    assert not any(chunk.usage for chunk in await chunks(client, "fault-nousage"))
    assert "世界" in text_of(await chunks(client, "fault-utf8"))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        await chunks(client, "fault-badsse")
    calls = await client.chat.completions.create(model="fault-calls-200", messages=HELLO, tools=[TOOL])
    assert len(calls.choices[0].message.tool_calls or ()) == 200


async def test_answers_tool_outputs(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(model="tool-code", messages=HELLO, tools=[TOOL])
    message = first.choices[0].message
    assert message.content == "I run it."
    assert message.tool_calls is not None
    output = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "42"}
    history = cast(Any, [*HELLO, message.model_dump(exclude_none=True), output])
    assert text_of(await chunks(client, "tool-code", history)) == "echo: 42"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="tool-code", messages=history[:-1], tools=[TOOL])
