"""Answers and events beside recorded ones of the original service: keys, their order, their types."""

from collections.abc import Iterator

import pytest

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Event, Json
from tests.e2e.golden import check_like, recorded, recorded_stream
from tests.e2e.order import folded

FOOD = recorded("assistant_with_a_function")["tools"][0]["function"]
WEAR: Json = {"name": "get_weather", "description": "gets the weather"}


@pytest.fixture
def api(threadmill: BackgroundStack) -> Iterator[Api]:
    with Api(threadmill.base_url, threadmill.api_key) as api:
        yield api


def test_assistants_threads_and_messages(api: Api) -> None:
    assistant = api.post("/assistants", {"model": "gpt-4o"})
    check_like(assistant, recorded("assistant"))
    assert api.get(f"/assistants/{assistant['id']}") == assistant
    check_like(api.post("/threads"), recorded("thread"))
    thread = api.thread("Hello, assistant!")
    check_like(api.get(f"/threads/{thread}/messages")["data"][0], recorded("message_of_a_user"))
    assert api.get(f"/threads/{thread}/runs") == recorded("list_empty")


def test_a_function_is_filled_in(api: Api) -> None:
    given = {key: value for key, value in FOOD.items() if key != "strict"}
    made = api.post("/assistants", {"model": "gpt-4o", "tools": [{"type": "function", "function": given}]})
    assert made["tools"] == recorded("assistant_with_a_function")["tools"]
    check_like(made, recorded("assistant_with_a_function"))


async def test_a_run_with_code(api: Api) -> None:
    assistant = api.assistant(tools=[{"type": "code_interpreter"}])
    run = api.run(api.thread("What is 12 * (3 + 4)?"), assistant, instructions=None)
    queued = recorded("run_queued") | {"tools": [{"type": "code_interpreter"}]}
    queued["tool_resources"] = {"code_interpreter": {"file_ids": []}}
    check_like(run | {"instructions": None}, queued)
    done = await api.completes(run)
    check_like(done | {"instructions": None}, queued | {"usage": recorded("run_completed")["usage"]} | TIMES)
    first, tools, last = api.steps(run)
    check_like(first, recorded("step_message_creation"))
    check_like(last, recorded("step_message_creation"))
    step = recorded("step_tool_calls")
    step["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"] = [{"type": "logs", "logs": "84"}]
    check_like(tools, step)
    check_like(api.messages(run)[-1], recorded("message_of_a_run"))


TIMES = {"status": "completed", "started_at": 1, "expires_at": None, "completed_at": 1}


async def test_a_run_with_a_function(api: Api) -> None:
    assistant = api.assistant(instructions=None, tools=[{"type": "function", "function": FOOD}])
    ask = {"messages": [{"role": "user", "content": "What is my favorite food on Thursday?"}]}
    run = api.post("/threads/runs", {"assistant_id": assistant, "thread": ask})
    run = await api.reaches(run, "requires_action")
    check_like(run, recorded("run_requires_action"))
    (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert call["function"] == {"name": FOOD["name"], "arguments": '{"day_of_week": "Thursday"}'}
    path = f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    queued = api.post(path, {"tool_outputs": [{"tool_call_id": call["id"], "output": "tacos"}]})
    check_like(queued, recorded("run_after_outputs"))
    assert queued["status"] == "queued"
    assert "tacos" in str(api.steps(run)[-1 if len(api.steps(run)) == 1 else 1])
    await api.completes(run)


def test_a_stream_of_text(api: Api) -> None:
    assistant = api.assistant(instructions=None)
    events = api.stream(f"/threads/{api.thread('Hello')}/runs", {"assistant_id": assistant})
    check_events(events, recorded_stream("text"))


def test_streams_around_a_function_call(api: Api) -> None:
    """The demo model speaks before it calls, the recorded one did not: its message is left out."""
    assistant = api.assistant(instructions=None, tools=[{"type": "function", "function": WEAR}])
    body = {
        "assistant_id": assistant,
        "thread": {"messages": [{"role": "user", "content": "get_weather"}]},
    }
    events = api.stream("/threads/runs", body)
    run = events[-2][1]
    (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    spoken = {data["id"] for name, data in events if data != "[DONE]" and "message_creation" in str(data)}
    calls = [
        (name, data)
        for name, data in events
        if not name.startswith("thread.message") and (data == "[DONE]" or data["id"] not in spoken)
    ]
    check_events(calls, recorded_stream("function_call_in_a_new_thread"))
    events = api.stream(
        f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs",
        {"tool_outputs": [{"tool_call_id": call["id"], "output": "warm"}]},
    )
    check_events(events, recorded_stream("outputs_submitted"))


VARYING = ("tools", "tool_resources", "content", "required_action", "step_details")


def check_events(events: list[Event], recorded: list[Event]) -> None:
    assert folded(events[:-1]) == folded(recorded)
    assert events[-1] == ("done", "[DONE]")
    by_name = dict(reversed(recorded))  # the first of each
    firsts = dict(reversed(events[:-1]))
    for name, model in by_name.items():
        same = {key: firsts[name][key] for key in VARYING if key in model and key in firsts[name]}
        check_like(firsts[name], model | same)
    for name in ("thread.message.delta", "thread.run.step.delta"):
        ours, theirs = deltas(events, name), deltas(recorded, name)
        assert [keys(delta) for delta in ours[:2]] == [keys(delta) for delta in theirs[:2]][: len(ours)]


def deltas(events: list[Event], name: str) -> list[Json]:
    return [data["delta"] for event, data in events if event == name]


def keys(value: object) -> object:
    """The names in a delta, in any order, without what they stand for."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in value.items()}
    return [keys(each) for each in value] if isinstance(value, list) else None
