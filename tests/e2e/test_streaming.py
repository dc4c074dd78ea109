"""Event streams with a model that does what the test says: order, deltas, ends of every kind."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from openai import AssistantEventHandler, OpenAI
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Message, Text, TextDelta
from openai.types.beta.threads.runs import ToolCall, ToolCallDelta

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Event, Json, text_of
from tests.e2e.order import BEGUN, CALLS, MESSAGE, RESUMED, check, folded, heard, said
from tests.model_script import Gate, Reply, call, code, function, say
from tests.model_server import ModelServer

CODE = {"type": "code_interpreter"}


def tool(name: str) -> Json:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


@pytest.fixture(params=["v1", "v2"])
def api(scripted: BackgroundStack, request: pytest.FixtureRequest) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key, request.param) as api:
        yield api


@pytest.fixture
def v2(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def name() -> str:
    """Of a model that only this test knows."""
    return f"model-{uuid4().hex[:8]}"


def start(api: Api, model: str, **fields: Any) -> tuple[str, Json]:
    """Make an assistant and a thread with one message; return path and body of a run."""
    assistant = api.assistant(model, **fields)
    return f"/threads/{api.thread('Hello')}/runs", {"assistant_id": assistant}


def last_run(events: list[Event]) -> Json:
    run: Json = events[-2][1]
    return run


def submitted(run: Json, *outputs: str) -> tuple[str, Json]:
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    given = [
        {"tool_call_id": call["id"], "output": output} for call, output in zip(calls, outputs, strict=True)
    ]
    return f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs", {"tool_outputs": given}


def test_what_code_prints_is_streamed_while_it_runs(api: Api, model: ModelServer, name: str) -> None:
    slow = "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.5)"
    model.script(call(code(slow)), say("Done."), model=name)
    events = api.stream(*start(api, name, tools=[CODE]))
    check(events)
    printed = [
        output["logs"]
        for event, data in events
        if event == "thread.run.step.delta"
        for one in data["delta"]["step_details"]["tool_calls"]
        for output in one["code_interpreter"].get("outputs", ())
    ]
    assert len(printed) >= 3, "piece by piece, not at the end"
    assert "".join(printed) == "0\n1\n2\n"


def test_text(api: Api, model: ModelServer, name: str) -> None:
    model.script(say("Grüße, ", "世界 ", "👋🏽"), model=name)
    events = api.stream(*start(api, name))
    check(events)
    assert folded(events) == [*BEGUN, *MESSAGE, "thread.run.completed", "done"]
    assert heard(events) == said(events) == "Grüße, 世界 👋🏽"
    run = last_run(events)
    assert run == api.run_of(run)
    assert text_of(api.messages(run)[0]) == heard(events)
    stored = {step["id"]: step for step in api.steps(run)}
    for event, data in events:
        if event == "thread.run.step.completed":
            assert data | {"expires_at": None} == stored[data["id"]]
        if event == "thread.message.completed":
            assert data == api.messages(run)[0]


def test_code(api: Api, model: ModelServer, name: str) -> None:
    source = "print('ä\\n' * 2)\n6 * 7"
    model.script(call(code(source), say_first="I run it."), say("It is 42."), model=name)
    events = api.stream(*start(api, name, tools=[CODE]))
    check(events)
    calls = [*CALLS, "thread.run.step.completed"]
    assert folded(events) == [*BEGUN, *MESSAGE, *calls, *MESSAGE, "thread.run.completed", "done"]
    details = [data["delta"]["step_details"] for event, data in events if event == "thread.run.step.delta"]
    assert all(each["type"] == "tool_calls" for each in details)
    deltas = [each for detail in details for each in detail["tool_calls"]]
    assert list(deltas[0]["code_interpreter"]) == ["input", "outputs"]
    assert deltas[0]["code_interpreter"]["outputs"] == []
    assert deltas[0]["id"].startswith("call_")
    assert all("id" not in delta and delta["index"] == 0 for delta in deltas[1:])
    assert "".join(delta["code_interpreter"].get("input", "") for delta in deltas) == source
    assert deltas[-1]["code_interpreter"]["outputs"][0]["index"] == 0
    (stored,) = api.steps(last_run(events))[1]["step_details"]["tool_calls"]
    assert stored["code_interpreter"]["input"] == source
    assert "42" in stored["code_interpreter"]["outputs"][0]["logs"]


def test_functions_and_their_outputs(api: Api, model: ModelServer, name: str) -> None:
    model.script(call(function("f", city="Paris"), function("g", city="Rome")), say("Warm."), model=name)
    events = api.stream(*start(api, name, tools=[tool("f"), tool("g")]))
    check(events)
    assert folded(events) == [*BEGUN, *CALLS, "thread.run.requires_action", "done"]
    run = last_run(events)
    wanted = [call["function"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
    assert wanted == [
        {"name": "f", "arguments": '{"city": "Paris"}'},
        {"name": "g", "arguments": '{"city": "Rome"}'},
    ]
    (step,) = api.steps(run)
    assert (step["status"], step["usage"]) == ("in_progress", None)
    sent: dict[int, str] = {}
    for event, data in events:
        if event == "thread.run.step.delta":
            for delta in data["delta"]["step_details"]["tool_calls"]:
                part = delta["function"].get("arguments", "")
                assert ("name" in delta["function"]) == ("id" in delta) == (delta["index"] not in sent)
                sent[delta["index"]] = sent.get(delta["index"], "") + part
    assert sent == {0: '{"city": "Paris"}', 1: '{"city": "Rome"}'}

    events = api.stream(*submitted(run, "20 degrees", ""))
    check(events)
    assert folded(events) == [*RESUMED, *MESSAGE, "thread.run.completed", "done"]
    answered = events[0][1]["step_details"]["tool_calls"]
    assert [call["function"]["output"] for call in answered] == ["20 degrees", ""]
    assert last_run(events)["usage"]["total_tokens"] == 30
    assert model_saw(model, name)[-1] == {
        "role": "tool",
        "tool_call_id": answered[1]["id"],
        "content": "",
    }


async def test_a_streamed_run_may_be_polled_and_a_polled_one_streamed(
    v2: Api, model: ModelServer, name: str
) -> None:
    model.script(call(function("f")), call(function("f")), say("Done."), model=name)
    path, body = start(v2, name, tools=[tool("f")])
    run = await v2.reaches(v2.post(path, body), "requires_action")
    events = v2.stream(*submitted(run, "one"))
    check(events)
    assert folded(events) == [*RESUMED, *CALLS, "thread.run.requires_action", "done"]
    queued = v2.post(*submitted(last_run(events), "two"))
    assert (queued["status"], queued["required_action"]) == ("queued", None)
    outputs = [step["step_details"]["tool_calls"][0]["function"]["output"] for step in v2.steps(run)[:2]]
    assert outputs == ["one", "two"]
    await v2.completes(run)


def test_code_and_a_function_in_one_turn(v2: Api, model: ModelServer, name: str) -> None:
    """The code runs at once; the run then stops for the function alone."""
    model.script(call(code("print(42)"), function("f")), say("Done."), model=name)
    events = v2.stream(*start(v2, name, tools=[CODE, tool("f")]))
    check(events)
    run = last_run(events)
    (asked,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert asked["type"] == "function"
    (step,) = v2.steps(run)
    ran, _ = step["step_details"]["tool_calls"]
    assert ran["code_interpreter"]["outputs"][0]["logs"].strip() == "42"
    events = v2.stream(*submitted(run, "out"))
    check(events)
    assert said(events) == "Done."


def test_thread_and_run(api: Api, model: ModelServer, name: str) -> None:
    model.script(say("Hello."), model=name)
    body = {
        "assistant_id": api.assistant(name),
        "thread": {"messages": [{"role": "user", "content": "Hi"}], "metadata": {"k": "v"}},
    }
    events = api.stream("/threads/runs", body)
    assert folded(events) == ["thread.created", *BEGUN, *MESSAGE, "thread.run.completed", "done"]
    check(events[1:])
    thread = events[0][1]
    assert thread == api.get(f"/threads/{thread['id']}")
    assert thread["metadata"] == {"k": "v"}
    assert last_run(events)["thread_id"] == thread["id"]


async def test_the_client_reads_while_the_model_writes(v2: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    reply = Reply(deltas=("first ", "second ", "third"), gate=gate, gate_before=2)
    model.script(reply, model=name)
    with v2.listening(*start(v2, name)) as reader:
        delta = await reader.sees("thread.message.delta")
        assert delta["delta"]["content"][0]["text"]["value"] == "first "
        (message,) = v2.messages(reader.run)
        assert message["status"] == "in_progress"
        assert v2.run_of(reader.run)["status"] == "in_progress"
        gate.open()
        events = await reader.ends()
    check(events)
    assert heard(events) == said(events) == "first second third"


async def test_a_budget_ends_a_run_incomplete(api: Api, model: ModelServer, name: str) -> None:
    model.script(Reply(deltas=("Half a ", "sente"), finish="length"), model=name)
    path, body = start(api, name)
    events = api.stream(path, body | {"max_completion_tokens": 5})
    check(events)
    version_1 = "file_ids" in last_run(events)
    status, event = ("completed" if version_1 else "incomplete"), events[-2][0]
    ends = ["thread.message.incomplete", "thread.run.step.completed", f"thread.run.{status}", "done"]
    assert folded(events) == [*BEGUN, *MESSAGE[:5], *ends]
    message, run = dict(events)["thread.message.incomplete"], last_run(events)
    assert text_of(message) == heard(events) == "Half a sente"
    assert message["incomplete_details"] == {"reason": "max_tokens"}
    assert (run["status"], event) == (status, f"thread.run.{status}")
    assert run["incomplete_details"] == {"reason": "max_completion_tokens"}
    assert run["usage"]["completion_tokens"] == 5
    assert api.run_of(run) == run


def test_a_failure(api: Api, model: ModelServer, name: str) -> None:
    """A model that refuses: the run fails, in the words of the model's server."""
    model.script(Reply(status=400), model=name)
    events = api.stream(*start(api, name))
    check(events)
    assert folded(events) == [*BEGUN, "thread.run.failed", "done"]
    run = last_run(events)
    assert run["last_error"] == {"code": "invalid_prompt", "message": "scripted failure"}
    assert run["failed_at"] >= run["created_at"]
    assert run["expires_at"] is None


def test_a_failure_in_the_middle(v2: Api, model: ModelServer, name: str) -> None:
    """A model that breaks off each time: every draft ends incomplete before the run fails."""
    model.script(*[Reply(deltas=("one ", "two"), cut_after=2)] * 4, model=name)
    events = v2.stream(*start(v2, name))
    check(events)
    ends = ["thread.run.step.failed", "thread.message.incomplete"]
    assert folded(events) == [*BEGUN, *[*MESSAGE[:5], *ends] * 4, "thread.run.failed", "done"]
    run = last_run(events)
    assert run["last_error"]["code"] == "server_error"
    (kept,) = v2.messages(run)
    assert (text_of(kept), kept["status"]) == ("one ", "incomplete")
    assert kept["incomplete_details"] == {"reason": "run_failed"}


def test_a_second_attempt(v2: Api, model: ModelServer, name: str) -> None:
    model.script(Reply(deltas=("wrong ", "end"), cut_after=2), say("right"), model=name)
    events = v2.stream(*start(v2, name))
    check(events)
    assert said(events) == "right"
    (message,) = v2.messages(last_run(events))
    assert text_of(message) == "right"
    assert len(v2.steps(last_run(events))) == 1


async def test_cancelling_while_streaming(api: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(Reply(deltas=("first ", "second"), gate=gate, gate_before=2), model=name)
    with api.listening(*start(api, name)) as reader:
        await reader.sees("thread.message.delta")
        run = reader.run
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/cancel"
        assert api.post(path)["status"] == "cancelling"
        events = await reader.ends()
    gate.open()
    check(events)
    ends = ["thread.run.cancelling", "thread.run.step.cancelled", "thread.message.incomplete"]
    assert folded(events) == [*BEGUN, *MESSAGE[:5], *ends, "thread.run.cancelled", "done"]
    (message,) = api.messages(run)
    assert message["incomplete_details"] == {"reason": "run_cancelled"}
    assert text_of(message) == heard(events) == "first "
    assert last_run(events)["cancelled_at"] >= run["created_at"]


async def test_a_client_that_leaves_does_not_stop_the_run(v2: Api, model: ModelServer, name: str) -> None:
    gate = Gate()
    model.script(Reply(deltas=("first ", "second"), gate=gate, gate_before=2), model=name)
    with v2.listening(*start(v2, name)) as reader:
        await reader.sees("thread.message.delta")
    gate.open()
    run = await v2.completes(reader.run)
    assert text_of(v2.messages(run)[0]) == "first second"


def test_what_is_wrong_is_told_before_a_stream_begins(v2: Api) -> None:
    body = {"assistant_id": "asst_nothing", "stream": True}
    error = v2.refused("POST", f"/threads/{v2.thread()}/runs", body, status=404)
    assert error["message"] == "No assistant found with id 'asst_nothing'."
    error = v2.refused("POST", "/threads/runs", {"stream": True})
    assert (error["param"], error["code"]) == ("assistant_id", "missing_required_parameter")


class Recorder(AssistantEventHandler):
    """Keeps what the helper of the SDK calls its handlers with."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []
        self.text, self.code, self.logs = "", "", ""

    def on_event(self, event: AssistantStreamEvent) -> None:
        self.called.append(event.event)

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.text += delta.value or ""
        assert snapshot.value.endswith(delta.value or "")

    def on_message_done(self, message: Message) -> None:
        self.called.append("on_message_done")

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        if delta.type == "code_interpreter" and delta.code_interpreter:
            self.code += delta.code_interpreter.input or ""
            for output in delta.code_interpreter.outputs or ():
                if output.type == "logs":
                    self.logs += output.logs or ""

    def on_tool_call_done(self, tool_call: ToolCall) -> None:
        self.called.append("on_tool_call_done")


def test_the_stream_helper_of_the_sdk(scripted: BackgroundStack, model: ModelServer, name: str) -> None:
    model.script(call(code("print(6 * 7)"), say_first="I run it. "), say("It is ", "42."), model=name)
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:
        assistant = client.beta.assistants.create(model=name, tools=[{"type": "code_interpreter"}])
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "6 * 7?"}])
        recorder = Recorder()
        with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=recorder
        ) as stream:
            stream.until_done()
            run, messages, steps = (
                stream.get_final_run(),
                stream.get_final_messages(),
                stream.get_final_run_steps(),
            )
    assert run.status == "completed"
    assert len(messages) == 2
    assert [step.type for step in steps] == ["message_creation", "tool_calls", "message_creation"]
    assert recorder.text == "I run it. It is 42."
    assert (recorder.code, recorder.logs.strip()) == ("print(6 * 7)", "42")
    assert recorder.called.count("on_message_done") == 2
    assert "on_tool_call_done" in recorder.called  # the helper repeats it with each later step


def test_the_submit_helper_of_the_sdk(scripted: BackgroundStack, model: ModelServer, name: str) -> None:
    model.script(call(function("f", city="Paris")), say("Warm."), model=name)
    with OpenAI(base_url=scripted.base_url, api_key=scripted.api_key) as client:
        assistant = client.beta.assistants.create(
            model=name, tools=[{"type": "function", "function": {"name": "f"}}]
        )
        with client.beta.threads.create_and_run_stream(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}
        ) as stream:
            stream.until_done()
            run = stream.get_final_run()
        assert run.required_action is not None
        (asked,) = run.required_action.submit_tool_outputs.tool_calls
        with client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id,
            run_id=run.id,
            tool_outputs=[{"tool_call_id": asked.id, "output": "20 degrees"}],
        ) as stream:
            assert "".join(stream.text_deltas) == "Warm."
            assert stream.get_final_run().status == "completed"


def model_saw(model: ModelServer, name: str) -> list[Json]:
    """The messages of the last request for the model ``name``."""
    messages: list[Json] = [request for request in model.requests if request.model == name][-1].body[
        "messages"
    ]
    return messages
