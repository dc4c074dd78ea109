"""The orchestrator against a real broker, a real store and a scripted model."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.run_orchestrator.call_token import call_token
from shared.events import Control, ToolResult
from shared.runs.facts import CancelRequested, Claimed, MessageStarted, OutputsSubmitted
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.stores.database import Database
from shared.stores.page import PageQuery
from tests.eventually import eventually
from tests.integration.orchestrators import (
    CODE_INTERPRETER,
    SECRET,
    Client,
    orchestrator,
    orchestrator_settings,
)
from tests.model_script import Gate, Reply, call, code, fail, function, say
from tests.model_server import ModelServer


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def client(
    kafka_bootstrap: str, mongo_url: str, db: Database, model: ModelServer
) -> AsyncIterator[Client]:
    settings = orchestrator_settings(kafka_bootstrap, mongo_url, db, model)
    async with orchestrator(settings, db) as client:
        yield client


def event_types(run: Run) -> list[str]:
    return [event.type.removeprefix("thread.") for event in run.events]


async def test_a_plain_run_ends_with_one_message(client: Client, model: ModelServer) -> None:
    model.script(say("Hi ", "there"))
    run = await client.until(await client.create_run(instructions="Be brief."), "completed")
    assert await client.texts(run.thread_id) == ["Hello", "Hi there"]
    assert model.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert event_types(run) == [
        "run.created",
        "run.queued",
        "run.in_progress",
        "run.step.created",
        "run.step.in_progress",
        "message.created",
        "message.in_progress",
        "message.completed",
        "run.step.completed",
        "run.completed",
    ]
    assert run.usage is not None
    assert run.usage.completion_tokens > 0
    assert await client.runs.active_id(run.thread_id) is None


async def test_code_is_asked_for_and_its_output_goes_to_the_model(client: Client, model: ModelServer) -> None:
    model.script(call(code("print(1+1)"), say_first="Let me see."), say("It is 2."))
    run = await client.create_run(tools=(CODE_INTERPRETER,))
    run = await client.until(run, "in_progress", phase="tools")
    (awaited,) = run.awaited
    assert awaited.input == "print(1+1)"
    token = call_token(SECRET, run.project_id, run.id, awaited.id)
    logs = {"type": "logs", "logs": "2\n"}
    result = ToolResult(call_id=awaited.id, run_id=run.id, token=token, output="2\n", outputs=(logs,))
    forged = result.model_copy(update={"token": "no", "output": "3"})
    for answer in (forged, result, result.model_copy(update={"output": "late"})):
        await client.answer(answer)
    run = await client.until(run, "completed")
    assert await client.texts(run.thread_id) == ["Hello", "Let me see.", "It is 2."]
    assert [step.type for step in run.steps] == ["message_creation", "tool_calls", "message_creation"]
    assert run.steps[1].calls[0].outputs == (logs,)
    said, told = model.requests[1].body["messages"][-2:]
    assert said["content"] == "Let me see."
    assert told == {"role": "tool", "tool_call_id": awaited.id, "content": "2\n"}


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def test_functions_wait_for_the_client_and_then_the_run_goes_on(
    client: Client, model: ModelServer
) -> None:
    model.script(call(function("weather", city="Oslo"), function("weather", city="Rome")), say("Cold, warm."))
    run = await client.until(await client.create_run(tools=(WEATHER,)), "requires_action")
    assert [json.loads(c.input)["city"] for c in run.awaited] == ["Oslo", "Rome"]
    outputs = {c.id: f"output {n}" for n, c in enumerate(run.awaited)}
    submitted = OutputsSubmitted(outputs, time.time())
    run, _ = await client.runs.change(run, lambda r: advance(r, submitted))
    assert run.status == "queued"
    await client.ring(run, "outputs_submitted")
    run = await client.until(run, "completed")
    told = [m["content"] for m in model.requests[1].body["messages"] if m["role"] == "tool"]
    assert told == ["output 0", "output 1"]


async def test_a_run_whose_command_was_lost_is_found(client: Client, model: ModelServer) -> None:
    model.script(say("Found."))
    await client.until(await client.create_run(ring=False), "completed")


async def test_a_lost_owner_is_replaced_and_its_draft_withdrawn(client: Client, model: ModelServer) -> None:
    run = await client.create_run(ring=False)
    long_ago = time.time() - 100
    for fact in (Claimed("dead", long_ago, 1.0), MessageStarted(1, long_ago)):
        before = run
        run = await client.runs.save(before, advance(before, fact))
    draft = run.steps[0]
    await client.messages.write_step(run, draft)
    model.script(say("From the second owner."))
    run = await client.until(run, "completed")
    assert (run.epoch, run.attempt) == (2, 1)
    assert await client.texts(run.thread_id) == ["Hello", "From the second owner."]
    listed, _ = await client.messages.page(run.thread_id, PageQuery())
    assert len(listed) == 2
    withdrawn = await client.messages.get(run.thread_id, str(draft.message_id))
    assert withdrawn is not None
    assert withdrawn["status"] == "incomplete"


async def test_cancelling_stops_the_model_and_keeps_what_was_said(client: Client, model: ModelServer) -> None:
    gate = Gate()
    model.script(replace(say("Once ", "upon ", "a time"), gate=gate, gate_before=3))
    run = await client.create_run()

    async def writing() -> bool:
        found = await client.runs.get(run.id)
        return bool(found and found.steps)

    await eventually(writing)
    asked = CancelRequested(time.time())
    cancelling, _ = await client.runs.change(run, lambda r: advance(r, asked))
    assert cancelling.status == "cancelling"
    await client.publisher.control(Control(run_id=run.id, thread_id=run.thread_id))
    ended = await client.until(run, "cancelled", within_s=3)
    assert ended.steps[0].incomplete_reason == "run_cancelled"
    assert (await client.texts(run.thread_id))[1] == "Once upon "
    gate.open()


async def test_a_stopped_orchestrator_ends_the_turn_in_hand(
    kafka_bootstrap: str,
    mongo_url: str,
    db: Database,
    model: ModelServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = orchestrator_settings(kafka_bootstrap, mongo_url, db, model, drain_s=60)
    begun: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with orchestrator(settings, db) as client:
            begun.set_result(client)
            await stop.wait()

    async def waits() -> bool:
        return "waiting for the turns in hand" in caplog.messages

    gate = Gate()
    model.script(replace(say("To ", "its ", "end"), gate=gate, gate_before=2))
    caplog.set_level("INFO")
    serving = asyncio.create_task(serve())
    client = await begun
    run = await client.create_run()
    await gate.reached(within_s=30)
    stop.set()
    await eventually(waits, within_s=30)
    gate.open()
    await serving
    run = await client.until(run, "completed")
    assert (run.epoch, len(model.requests)) == (1, 1)
    assert await client.texts(run.thread_id) == ["Hello", "To its end"]


async def test_an_expired_run_ends_even_while_its_model_hangs(client: Client, model: ModelServer) -> None:
    run = await client.create_run(model="fault-hang", life_s=1)
    ended = await client.until(run, "expired", within_s=60)
    assert ended.events[-1].type == "thread.run.expired"


@pytest.mark.parametrize("name", ["fault-429x2", "fault-500x1", "fault-cut-3x1", "fault-badargsx1"])
async def test_passing_faults_of_the_model_are_survived(client: Client, name: str) -> None:
    tools = (WEATHER,) if "badargs" in name else ()
    run = await client.create_run(model=name, tools=tools)
    run = await client.until(run, "completed", "requires_action", "failed")
    assert run.status != "failed"
    assert len(await client.texts(run.thread_id)) <= 2


@pytest.mark.parametrize(
    ("reply", "code"),
    [(fail(429), "rate_limit_exceeded"), (fail(500), "server_error"), (fail(400), "invalid_prompt")],
)
async def test_lasting_faults_fail_the_run(
    client: Client, model: ModelServer, reply: Reply, code: str
) -> None:
    model.script(*[reply] * 4)
    run = await client.until(await client.create_run(), "failed")
    assert run.outcome is not None
    assert run.outcome.last_error is not None
    assert run.outcome.last_error.code == code


async def test_a_function_schema_may_use_names_that_mean_something_to_the_store(
    client: Client, model: ModelServer
) -> None:
    parameters = {"type": "object", "properties": {"a.b": {"$ref": "#/$defs/x", "$id": "y", "$db": "z"}}}
    model.script(say("Hi."))
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    run = await client.until(await client.create_run(tools=(tool,)), "completed")
    assert run.settings.tools == (tool,)
    assert model.requests[0].body["tools"] == [tool]
