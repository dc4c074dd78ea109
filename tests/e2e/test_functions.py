"""Function calls that are answered, and the many ways of answering them wrongly."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json
from tests.model_script import Call, Gate, Reply, call, function, say
from tests.model_server import ModelServer

F: Json = {"type": "function", "function": {"name": "f"}}


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


async def waiting(api: Api, model: str, **fields: Any) -> tuple[Json, str, list[str]]:
    """Return a run that requires action, where to submit, and the ids of its calls."""
    assistant = api.assistant(model, tools=[F])
    run = await api.reaches(api.run(api.thread("Hello"), assistant, **fields), "requires_action")
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    path = f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    return run, path, [call["id"] for call in calls]


def outputs(*ids: str, output: Any = "out") -> Json:
    return {"tool_outputs": [{"tool_call_id": call_id, "output": output} for call_id in ids]}


def test_the_poll_helpers_of_the_sdk(scripted: BackgroundStack, model: ModelServer, name: str) -> None:
    model.script(call(function("f", n=1), function("f", n=2)), say("Both."), model=name)
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:
        runs = client.beta.threads.runs
        assistant = client.beta.assistants.create(
            model=name, tools=[{"type": "function", "function": {"name": "f"}}]
        )
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
        run = runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        assert run.status == "requires_action"
        assert run.required_action is not None
        asked = run.required_action.submit_tool_outputs.tool_calls
        assert [json.loads(each.function.arguments)["n"] for each in asked] == [1, 2]
        run = runs.submit_tool_outputs_and_poll(
            thread_id=thread.id,
            run_id=run.id,
            tool_outputs=[{"tool_call_id": each.id, "output": each.function.arguments} for each in asked],
        )
        assert run.status == "completed"
    told = model_messages(model, name)[-3:]
    assert [call["id"] for call in told[0]["tool_calls"]] == [each.id for each in asked]
    assert [(message["tool_call_id"], message["content"]) for message in told[1:]] == [
        (each.id, each.function.arguments) for each in asked
    ]


async def test_wrong_missing_and_doubled_ids(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f"), function("f")), say("Done."), model=name)
    run, path, (a, b) = await waiting(api, name)
    for given in ([a], [a, "call_x"], [a, a], [a, b, b], [a, b, "call_x"], []):
        error = api.refused("POST", path, outputs(*given))
        assert error["type"] == "invalid_request_error"
        if given:
            assert error["message"] == f"Expected tool outputs for call_ids {[a, b]}, got {given}"
    for output, got in (({"a": 1}, "an object"), (7, "an integer")):
        error = api.refused("POST", path, outputs(a, b, output=output))
        assert (error["param"], error["code"]) == ("tool_outputs[0].output", "invalid_type")
        assert got in error["message"]
    assert api.run_of(run)["status"] == "requires_action"
    api.post(path, outputs(b, a))  # any order
    await api.completes(run)


async def test_the_second_submission_is_refused(api: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(call(function("f")), Reply(deltas=("Done.",), gate=gate), model=name)
    run, path, ids = await waiting(api, name)
    assert api.post(path, outputs(*ids, output="kept \n as it is"))["status"] == "queued"
    await gate.reached()
    error = api.refused("POST", path, outputs(*ids, output="another"))
    assert error["message"] == 'Runs in status "in_progress" do not accept tool outputs.'
    gate.open()
    await api.completes(run)
    error = api.refused("POST", path, outputs(*ids))
    assert error["message"] == 'Runs in status "completed" do not accept tool outputs.'
    details = api.steps(run)[0]["step_details"]
    assert details["tool_calls"][0]["function"]["output"] == "kept \n as it is"


async def test_the_time_of_a_run_goes_on_while_it_waits(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f")), say("Done."), model=name)
    run, path, ids = await waiting(api, name)
    queued = api.post(path, outputs(*ids))
    assert queued["expires_at"] == run["expires_at"] == run["created_at"] + 600
    assert queued["started_at"] == run["started_at"]
    assert (await api.completes(run))["started_at"] >= run["started_at"]


async def test_a_call_with_broken_arguments_is_asked_for_again(
    api: Api, model: ModelServer, name: str
) -> None:
    model.script(call(Call("f", '{"a": ')), call(function("f", a=1)), say("Done."), model=name)
    run, path, ids = await waiting(api, name)
    (asked,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert asked["function"]["arguments"] == '{"a": 1}'
    api.post(path, outputs(*ids))
    await api.completes(run)
    assert [step["type"] for step in api.steps(run)] == ["tool_calls", "message_creation"]


async def test_a_forced_call_is_forced_once(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f")), say("Done."), model=name)
    forced = {"type": "function", "function": {"name": "f"}}
    run, path, ids = await waiting(api, name, tool_choice=forced, parallel_tool_calls=False)
    api.post(path, outputs(*ids))
    assert (await api.completes(run))["tool_choice"] == forced
    first, second = [request.body for request in model.requests if request.model == name]
    assert (first["tool_choice"], second["tool_choice"]) == (forced, "auto")
    assert first["parallel_tool_calls"] is False


async def test_ids_of_other_threads_are_not_found(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f")), model=name)
    run, path, ids = await waiting(api, name)
    elsewhere = path.replace(run["thread_id"], api.thread())
    error = api.refused("POST", elsewhere, outputs(*ids), status=404)
    assert error["message"] == f"No run found with id '{run['id']}'."
    api.post(f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
    await api.reaches(run, "cancelled")
    error = api.refused("POST", path, outputs(*ids))
    assert error["message"] == 'Runs in status "cancelled" do not accept tool outputs.'


def model_messages(model: ModelServer, name: str) -> list[Json]:
    messages: list[Json] = [request for request in model.requests if request.model == name][-1].body[
        "messages"
    ]
    return messages
