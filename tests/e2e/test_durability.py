"""Processes die, stand still and come back in the middle of runs: each run still ends once, and well."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from shared.runs.model import Run
from shared.stores.database import Database, connect
from shared.stores.runs import RunStore
from tests.e2e.api import Api, Json, text_of
from tests.e2e.order import BEGUN, MESSAGE, check, folded, heard, said
from tests.eventually import eventually
from tests.model_script import Gate, Reply, call, code, function, say
from tests.model_server import ModelServer, Request

pytestmark = pytest.mark.timeout(300)

CODE: Json = {"type": "code_interpreter"}
F: Json = {"type": "function", "function": {"name": "f"}}
SECOND = "run_orchestrator-2"
PROGRAMS = ("store", "broker", "run_orchestrator", "tool_code", "gateway")
DRAFT = [*MESSAGE[:5], "thread.run.step.failed", "thread.message.incomplete"]
RECOVERED_WITHIN_S = 90.0  # a lease of 3 s, a sweep, a start; on a busy machine


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


@pytest.fixture
def stack(scripted: BackgroundStack) -> Iterator[BackgroundStack]:
    """Whole again at the end."""
    yield scripted
    with suppress(ProgramError):
        scripted.pid(SECOND)
        scripted.stop(SECOND)
    for program in PROGRAMS:
        if not scripted.is_ready(program):
            scripted.start(program)


@pytest.fixture
async def stored(scripted: BackgroundStack) -> AsyncIterator[Database]:
    """The database of the stack: the one with runs."""
    client = connect(scripted.mongo_url, "admin").client
    for database in await client.list_database_names():
        if database.startswith("test_"):
            yield client[database]
    client.close()


def gated(*deltas: str, before: int) -> tuple[Gate, Reply]:
    gate = Gate()
    return gate, Reply(deltas=deltas, gate=gate, gate_before=before)


def start(api: Api, model: str, **fields: Any) -> tuple[str, Json]:
    return f"/threads/{api.thread('Hello')}/runs", {"assistant_id": api.assistant(model, **fields)}


async def run_in(stored: Database, run: Json) -> Run:
    found = await RunStore(stored).get(run["id"])
    assert found is not None
    return found


async def settled(api: Api, stored: Database, run: Json) -> Run:
    """Wait until the run has completed and all is announced; hold it to what is always true."""
    await api.completes(run, within_s=RECOVERED_WITHIN_S)

    async def announced() -> Run | None:
        found = await run_in(stored, run)
        return found if found.published.n == len(found.events) else None

    found = await eventually(announced, within_s=30)
    assert [event.seq for event in found.events] == list(range(1, len(found.events) + 1))
    ends = [event.type for event in found.events if event.type == "thread.run.completed"]
    assert ends == [found.events[-1].type]
    steps = api.steps(run)
    messages = api.messages(run)
    assert [message["status"] for message in messages] == ["completed"] * len(messages)
    written = [step["step_details"].get("message_creation", {}).get("message_id") for step in steps]
    assert [each for each in written if each] == [message["id"] for message in messages]
    assert all(step["status"] == "completed" for step in steps)
    return found


def requests_of(model: ModelServer, name: str) -> list[Request]:
    return [request for request in model.requests if request.model == name]


async def test_the_orchestrator_dies_in_the_middle_of_a_text(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("first ", "second ", "third", before=2)
    model.script(cut, say("the whole ", "answer"), model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        stack.kill("run_orchestrator")
        stack.start("run_orchestrator")
        events = await reader.ends(within_s=RECOVERED_WITHIN_S)
    gate.open()
    check(events)
    assert folded(events) == [*BEGUN, *DRAFT, *MESSAGE, "thread.run.completed", "done"]
    assert said(events) == "the whole answer"
    assert heard(events) == "first the whole answer"
    run = await settled(api, stored, reader.run)
    assert text_of(api.messages(reader.run)[0]) == "the whole answer"
    assert (run.attempt, len(requests_of(model, name))) == (1, 2)


async def test_the_orchestrator_dies_after_a_text_before_a_call(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    """A message that was complete is withdrawn with the turn that it belongs to."""
    gate = Gate()
    cut = Reply(deltas=("I call f.",), calls=(function("f"),), gate=gate, gate_before=4)
    model.script(cut, call(function("f"), say_first="I call it."), say("Done."), model=name)
    with api.listening(*start(api, name, tools=[F])) as reader:
        await reader.sees("thread.message.completed")
        stack.kill("run_orchestrator")
        stack.start("run_orchestrator")
        events = await reader.ends(within_s=RECOVERED_WITHIN_S)
    gate.open()
    assert events[-2][0] == "thread.run.requires_action"
    (asked,) = events[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [text_of(message) for message in api.messages(reader.run)] == ["I call it."]
    outputs = {"tool_outputs": [{"tool_call_id": asked["id"], "output": "out"}]}
    api.post(f"/threads/{reader.run['thread_id']}/runs/{reader.run['id']}/submit_tool_outputs", outputs)
    await settled(api, stored, reader.run)
    assert [text_of(message) for message in api.messages(reader.run)] == ["I call it.", "Done."]


async def test_the_orchestrator_is_away_while_code_runs_and_while_a_run_is_made(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    model.script(call(code("import time; time.sleep(1); print(42)")), say("Done."), model=name)
    run = api.post(*start(api, name, tools=[CODE]))
    await executing(stored, run)
    stack.kill("run_orchestrator")
    waiting = api.post(*start(api, f"{name}-later"))
    assert api.run_of(waiting)["status"] == "queued"
    stack.start("run_orchestrator")
    await settled(api, stored, run)
    await settled(api, stored, waiting)
    (tool, _) = api.steps(run)
    assert "42" in tool["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"][0]["logs"]


async def test_tool_code_dies_in_the_middle_of_a_call(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    model.script(call(code("import time; time.sleep(1); print(42)")), say("Done."), model=name)
    run = api.post(*start(api, name, tools=[CODE]))
    await executing(stored, run)
    stack.kill("tool_code")
    stack.start("tool_code")
    await settled(api, stored, run)
    (tool, message) = api.steps(run)
    (made,) = tool["step_details"]["tool_calls"]
    (output,) = made["code_interpreter"]["outputs"]
    assert output["logs"].strip().endswith("42")
    assert message["type"] == "message_creation"
    assert len(requests_of(model, name)) == 2


async def executing(stored: Database, run: Json) -> None:
    """Wait until tool_code has taken the call of ``run``."""

    async def taken() -> bool:
        calls = [call.id for step in (await run_in(stored, run)).steps for call in step.calls]
        return bool(calls) and await stored["tool_executions"].find_one({"_id": calls[0]}) is not None

    await eventually(taken, within_s=30)


async def test_the_broker_dies_and_forgets_everything(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("first ", "second ", "third", before=2)
    model.script(cut, model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        before = (await run_in(stored, reader.run)).published.generation
        stack.kill("broker")
        gate.open()
        events = await reader.ends(within_s=RECOVERED_WITHIN_S)  # while there is none
        made = api.post(*start(api, f"{name}-meanwhile"))
        assert made["status"] == "queued"
        stack.start("broker")
    check(events)
    assert said(events) == heard(events) == "first second third"
    await settled(api, stored, made)

    async def told_again() -> bool:
        """The feed of the new broker has the events too."""
        found = await run_in(stored, reader.run)
        return found.published.generation != before and found.published.n == len(found.events)

    await eventually(told_again, within_s=RECOVERED_WITHIN_S)
    events = api.stream(*start(api, f"{name}-after"))
    check(events)


async def test_the_gateway_dies_in_the_middle_of_a_stream(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("first ", "second", before=2)
    model.script(cut, model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        stack.kill("gateway")

        async def broken() -> bool:
            return reader.ended

        await eventually(broken)
        assert reader.error is not None
    gate.open()
    stack.start("gateway")
    with Api(stack.base_url, stack.api_key) as other:
        await settled(other, stored, reader.run)
        assert text_of(other.messages(reader.run)[0]) == "first second"
        check(other.stream(*start(other, f"{name}-after")))


async def test_an_owner_that_stood_still_too_long_changes_nothing(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("of the first ", "owner", before=2)
    model.script(cut, say("of the second owner"), model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        stack.start(SECOND)
        stack.signal("run_orchestrator", signal.SIGSTOP)
        try:
            events = await reader.ends(within_s=RECOVERED_WITHIN_S)
        finally:
            gate.open()  # the rest of the answer lies ready when the first owner wakes up
            stack.signal("run_orchestrator", signal.SIGCONT)
    check(events)
    assert said(events) == "of the second owner"
    before = await settled(api, stored, reader.run)
    stack.stop(SECOND)
    await api.completes(api.post(*start(api, f"{name}-after")))  # by the first one: it is awake
    assert await run_in(stored, reader.run) == before
    assert [text_of(message) for message in api.messages(reader.run)] == ["of the second owner"]


async def test_an_orchestrator_that_is_told_to_stop_hands_its_runs_over(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("first ", "second", before=2)
    model.script(*[cut] * 12, model=name)
    path, body = start(api, name)
    paths = [path, *(f"/threads/{api.thread('Hello')}/runs" for _ in range(11))]
    runs = [api.post(path, body) for path in paths]

    async def all_begun() -> bool:
        return all([(await run_in(stored, run)).step for run in runs])

    await eventually(all_begun, within_s=30)
    stack.start(SECOND)
    model.script(*[say("handed over")] * 12, model=name)
    began = time.monotonic()
    stack.stop("run_orchestrator")
    assert time.monotonic() - began < 5
    ended = [await settled(api, stored, run) for run in runs]
    gate.open()
    assert all(run.attempt == 0 for run in ended)  # nobody had to notice that a lease had lapsed
    assert all(pause_of(run) < 10 for run in ended), [pause_of(run) for run in ended]
    for run in runs:
        assert [text_of(message) for message in api.messages(run)] == ["handed over"]


def pause_of(run: Run) -> float:
    """Seconds between the end of an attempt that was handed over, and the first word of the next."""
    given_up = [event.at for event in run.events if event.type == "thread.run.step.failed"]
    created = [event.at for event in run.events if event.type == "thread.run.step.created"]
    return created[-1] - given_up[-1]


async def test_everything_dies_at_once(
    stack: BackgroundStack, api: Api, model: ModelServer, stored: Database, name: str
) -> None:
    gate, cut = gated("first ", "second", before=2)
    model.script(cut, say("again"), model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        for program in reversed(PROGRAMS):
            stack.kill(program)
    gate.open()
    for program in PROGRAMS:
        stack.start(program)
    with Api(stack.base_url, stack.api_key) as other:
        await settled(other, stored, reader.run)
        assert text_of(other.messages(reader.run)[0]) == "again"
