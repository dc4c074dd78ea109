"""A run followed late, by several, and again after a process died: live, without a gap or a repeat."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from tests.e2e.api import Api, Event, Json, Reader
from tests.e2e.order import BEGUN, MESSAGE, check, folded, heard, said
from tests.e2e.test_durability import DRAFT, RECOVERED_WITHIN_S, gated, start
from tests.eventually import eventually
from tests.model_script import call, function, say
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(300)

F: Json = {"type": "function", "function": {"name": "f"}}


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def stack(scripted: BackgroundStack) -> Iterator[BackgroundStack]:
    yield scripted
    for program in ("run_orchestrator", "gateway"):
        with suppress(ProgramError):
            if not scripted.is_ready(program):
                scripted.start(program)


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


def deltas(events: list[Event]) -> list[str]:
    return [
        part["text"].get("value", "")
        for name, data in list(events)
        if name == "thread.message.delta"
        for part in data["delta"]["content"]
    ]


async def hears(reader: Reader, text: str) -> None:
    """Wait until the deltas make up ``text``: how many there are is up to how fast they came."""

    async def heard_it() -> bool:
        return "".join(deltas(reader.events)) == text

    await eventually(heard_it, within_s=30)


async def test_who_joins_in_the_middle_of_a_message_sees_it_grow(
    scripted: BackgroundStack, api: Api, model: ModelServer, name: str
) -> None:
    """Nobody watched so far: the run was not made with a stream."""
    gate, reply = gated("one ", "two ", "three ", "four", before=3)
    model.script(reply, model=name)
    run = api.post(*start(api, name))
    await gate.reached(within_s=30)
    with api.following(run) as first, api.following(run) as second:
        for reader in (first, second):
            await hears(reader, "one two ")
        gate.open()
        for reader in (first, second):
            events = await reader.ends()
            check(events)
            assert folded(events) == [*BEGUN, *MESSAGE, "thread.run.completed", "done"]
            assert heard(events) == said(events) == "one two three four"
            assert len(deltas(events)) > 1


async def test_who_comes_back_in_the_middle_of_a_message_after_the_gateway_died(
    stack: BackgroundStack, api: Api, model: ModelServer, name: str
) -> None:
    gate, reply = gated("one ", "two ", "three ", "four", before=3)
    model.script(reply, model=name)
    run = api.post(*start(api, name))
    await gate.reached(within_s=30)
    with api.following(run) as before:
        await hears(before, "one two ")
        stack.kill("gateway")

        async def broken() -> bool:
            return before.ended

        await eventually(broken)
    assert before.last_id.endswith(";content.0.text.value=8")
    stack.start("gateway")
    with Api(stack.base_url, stack.api_key) as other, other.following(run, before.last_id) as after:
        gate.open()
        rest = await after.ends()
    events = before.events + rest
    check(events)
    assert folded(events) == [*BEGUN, *MESSAGE, "thread.run.completed", "done"]
    assert heard(events) == said(events) == "one two three four"


async def test_who_follows_while_the_orchestrator_dies(
    stack: BackgroundStack, api: Api, model: ModelServer, name: str
) -> None:
    gate, cut = gated("first ", "second", before=2)
    model.script(cut, say("the whole ", "answer"), model=name)
    run = api.post(*start(api, name))
    await gate.reached(within_s=30)
    with api.following(run) as reader:
        await reader.sees("thread.message.delta")
        stack.kill("run_orchestrator")
        stack.start("run_orchestrator")
        events = await reader.ends(within_s=RECOVERED_WITHIN_S)
    gate.open()
    check(events)
    assert folded(events) == [*BEGUN, *DRAFT, *MESSAGE, "thread.run.completed", "done"]
    assert (heard(events), said(events)) == ("first the whole answer", "the whole answer")


async def test_a_call_for_action_is_not_the_end(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f", x="y")), say("Done."), model=name)
    run = api.post(*start(api, name, tools=[F]))
    with api.following(run) as reader:
        action = await reader.sees("thread.run.requires_action")
        [asked] = action["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = {"tool_outputs": [{"tool_call_id": asked["id"], "output": "out"}]}
        api.post(f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs", outputs)
        events = await reader.ends()
    assert [event for event, _ in events[-2:]] == ["thread.run.completed", "done"]
    assert heard(events) == "Done."
    with api.following(run) as late:
        again = await late.ends()
    assert [event for event, _ in again if "delta" not in event] == [e for e, _ in events if "delta" not in e]
    assert heard(again) == "Done."
