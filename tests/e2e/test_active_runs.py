"""What goes on while a run is active: the lock of its thread, cancelling, expiring."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json, text_of
from tests.e2e.order import check
from tests.e2e.pausing import paused
from tests.eventually import eventually
from tests.model_script import Gate, Reply, call, code, function, say
from tests.model_server import ModelServer

F: Json = {"type": "function", "function": {"name": "f"}}
CODE: Json = {"type": "code_interpreter"}


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


def cancel_path(run: Json) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['id']}/cancel"


async def test_twenty_runs_at_once_are_one_run(api: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(Reply(deltas=("Hello.",), gate=gate), model=name)
    thread, assistant = api.thread("Hello"), api.assistant(name)
    extra = [{"role": "user", "content": "of a run"}]

    def create(_: int) -> tuple[int, Json]:
        response = api.client.post(
            f"/threads/{thread}/runs",
            json={"assistant_id": assistant, "additional_messages": extra},
            headers=api.headers,
        )
        return response.status_code, response.json()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(create, range(20)))
    (run,) = [answer for status, answer in answers if status == 200]
    refused = [answer["error"] for status, answer in answers if status == 400]
    assert len(refused) == 19
    for error in refused:
        assert error["message"] == f"Thread {thread} already has an active run {run['id']}."
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)
    gate.open()
    await api.completes(run)
    assert [each["id"] for each in api.get(f"/threads/{thread}/runs")["data"]] == [run["id"]]
    texts = [text_of(message) for message in api.get(f"/threads/{thread}/messages", order="asc")["data"]]
    assert texts == ["Hello", "of a run", "Hello."]


async def test_a_thread_with_an_active_run(api: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(Reply(deltas=("Hello.",), gate=gate), say("Again."), model=name)
    thread, assistant = api.thread("Hello"), api.assistant(name)
    path, posted = f"/threads/{thread}/messages", {"role": "user", "content": "More"}
    run = api.run(thread, assistant)
    await gate.reached()
    for posting in (posted, {"role": "assistant", "content": "Mine"}):
        error = api.refused("POST", path, posting)
        assert error["message"] == f"Can't add messages to {thread} while a run {run['id']} is active."
    error = api.refused("POST", f"/threads/{thread}/runs", {"assistant_id": assistant})
    assert error["message"] == f"Thread {thread} already has an active run {run['id']}."
    error = api.refused("POST", f"/threads/{thread}/runs/{run['id']}", {"metadata": {"k": "v"}})
    assert error["message"] == "Cannot update run with status 'in_progress'."
    api.post(f"/threads/{thread}", {"metadata": {"k": "v"}})  # what a run does not need stays possible
    (first,) = api.get(path)["data"]
    api.post(f"{path}/{first['id']}", {"metadata": {"k": "v"}})
    gate.open()
    await api.completes(run)
    assert api.post(f"/threads/{thread}/runs/{run['id']}", {"metadata": {"k": "v"}})["metadata"] == {"k": "v"}
    api.post(path, posted)
    await api.completes(api.run(thread, assistant))


async def test_cancelling_what_is_queued(scripted: BackgroundStack, api: Api, name: str) -> None:
    thread, assistant = api.thread("Hello"), api.assistant(name)
    with paused(scripted, "run_orchestrator"):
        run = api.run(thread, assistant)
        assert api.run_of(run)["status"] == "queued"
        assert api.post(cancel_path(run))["status"] == "cancelling"
        error = api.refused("POST", cancel_path(run))
        assert error["message"] == "Cannot cancel run with status 'cancelling'."
        error = api.refused("POST", f"/threads/{thread}/messages", {"role": "user", "content": "More"})
        assert error["message"] == f"Can't add messages to {thread} while a run {run['id']} is active."
    run = await api.reaches(run, "cancelled")
    assert (run["started_at"], run["expires_at"], run["usage"]) == (None, None, None)
    assert api.messages(run) == []
    api.post(f"/threads/{thread}/messages", {"role": "user", "content": "More"})


async def test_cancelling_what_the_model_works_on(api: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(Reply(deltas=("Hello.",), gate=gate), model=name)
    run = api.run(api.thread("Hello"), api.assistant(name))
    await gate.reached()
    assert api.post(cancel_path(run))["status"] == "cancelling"
    run = await api.reaches(run, "cancelled", within_s=30)
    assert run["cancelled_at"] >= run["started_at"]
    (asked,) = [request for request in model.requests if request.model == name]

    async def left() -> bool:
        return asked.client_left

    await eventually(left)  # the model is not kept working for nothing
    assert api.messages(run) == []
    assert api.refused("POST", cancel_path(run))["message"] == "Cannot cancel run with status 'cancelled'."


async def test_cancelling_while_code_runs(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(code("import time; time.sleep(20)")), model=name)
    run = api.run(api.thread("Hello"), api.assistant(name, tools=[CODE]))

    async def calls() -> bool:
        return any(step["step_details"].get("tool_calls") for step in api.steps(run))

    await eventually(calls, within_s=30)
    api.post(cancel_path(run))
    run = await api.reaches(run, "cancelled", within_s=30)
    (step,) = api.steps(run)
    assert (step["type"], step["status"]) == ("tool_calls", "cancelled")


async def test_cancelling_what_waits_for_outputs(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f")), model=name)
    thread = api.thread("Hello")
    run = await api.reaches(api.run(thread, api.assistant(name, tools=[F])), "requires_action")
    assert api.post(cancel_path(run))["required_action"] is None
    run = await api.reaches(run, "cancelled", within_s=30)
    assert run["required_action"] is None
    assert api.steps(run)[0]["status"] == "cancelled"
    assert run["usage"]["total_tokens"] == 15
    api.post(f"/threads/{thread}/messages", {"role": "user", "content": "More"})


async def test_cancelling_too_late(api: Api, model: ModelServer, name: str) -> None:
    model.script(say("Done."), Reply(status=400), model=name)
    for status in ("completed", "failed"):
        run = api.run(api.thread("Hello"), api.assistant(name))
        await api.reaches(run, status)
        assert (
            api.refused("POST", cancel_path(run))["message"] == f"Cannot cancel run with status '{status}'."
        )


@pytest.mark.parametrize("moment", ["thread.run.created", "thread.message.delta", "thread.message.completed"])
async def test_a_race_between_the_end_and_a_cancellation_has_one_outcome(
    api: Api, model: ModelServer, name: str, moment: str
) -> None:
    assistant = api.assistant(name)
    for _ in range(3):
        model.script(Reply(deltas=("one ", "two ", "three "), delay_s=0.01), model=name)
        body = {"assistant_id": assistant}
        with api.listening(f"/threads/{api.thread('Hello')}/runs", body) as reader:
            await reader.sees(moment)
            response = api.client.post(cancel_path(reader.run), headers=api.headers)
            events = await reader.ends()
        check(events)
        run = api.run_of(reader.run)
        assert run["status"] in (("cancelled",) if response.status_code == 200 else ("completed",))
        assert events[-2] == (f"thread.run.{run['status']}", run)
