"""The conversation of the document that this project started from, line by line, as version 1."""

import time
from collections.abc import Iterator

import pytest

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, text_of

QUESTION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"
ADDRESS = "Please address the user as Jane Doe. The user has a premium account."


@pytest.fixture
def api(threadmill: BackgroundStack) -> Iterator[Api]:
    with Api(threadmill.base_url, threadmill.api_key, "v1") as api:
        yield api


async def test_the_math_tutor(api: Api) -> None:
    assistant = api.post(
        "/assistants",
        {
            "name": "Math Tutor",
            "instructions": "You are a personal math tutor. Write and run code to answer math questions.",
            "tools": [{"type": "code_interpreter"}],
            "model": "gpt-4-1106-preview",
        },
    )
    assert assistant["object"] == "assistant"
    assert assistant["tools"] == [{"type": "code_interpreter"}]
    assert (assistant["model"], assistant["name"]) == ("gpt-4-1106-preview", "Math Tutor")
    assert (assistant["file_ids"], assistant["metadata"], assistant["description"]) == ([], {}, None)
    assert "tool_resources" not in assistant
    assert_now(assistant["created_at"])

    # The SDKs send neither a body nor a content type here.
    response = api.client.post("/threads", headers=api.headers)
    thread = response.json()
    assert list(thread) == ["id", "object", "created_at", "metadata"]
    assert thread["object"] == "thread"
    path = f"/threads/{thread['id']}"

    posted = api.post(f"{path}/messages", {"role": "user", "content": QUESTION})
    listed = api.get(f"{path}/messages")
    assert listed == {
        "object": "list",
        "data": [posted],
        "first_id": posted["id"],
        "last_id": posted["id"],
        "has_more": False,
    }
    assert posted["object"] == "thread.message"
    assert (posted["thread_id"], posted["role"]) == (thread["id"], "user")
    assert posted["content"] == [{"type": "text", "text": {"value": QUESTION, "annotations": []}}]
    assert (posted["file_ids"], posted["assistant_id"], posted["run_id"]) == ([], None, None)
    assert_now(posted["created_at"])

    run = api.post(f"{path}/runs", {"assistant_id": assistant["id"], "instructions": ADDRESS})
    assert (run["object"], run["status"], run["instructions"]) == ("thread.run", "queued", ADDRESS)
    assert (run["model"], run["tools"]) == (assistant["model"], assistant["tools"])
    assert run["expires_at"] == run["created_at"] + 600
    assert (run["started_at"], run["completed_at"], run["usage"]) == (None, None, None)
    assert (run["file_ids"], run["metadata"]) == ([], {})

    run = await api.completes(run)
    assert run["expires_at"] is None
    assert run["created_at"] <= run["started_at"] <= run["completed_at"] <= time.time()

    newest, middle, oldest = api.get(f"{path}/messages")["data"]
    assert oldest == posted
    for message in (newest, middle):
        assert (message["assistant_id"], message["run_id"]) == (assistant["id"], run["id"])
        assert message["role"] == "assistant"
        assert "Jane Doe" in text_of(message)
    assert "x = 1" in text_of(newest)

    first, tools, last = api.steps(run)
    for step, message in ((first, middle), (last, newest)):
        assert step["type"] == "message_creation"
        assert step["step_details"] == {
            "type": "message_creation",
            "message_creation": {"message_id": message["id"]},
        }
    assert tools["type"] == "tool_calls"
    (call,) = tools["step_details"]["tool_calls"]
    assert call["type"] == "code_interpreter"
    assert "print" in call["code_interpreter"]["input"]
    (output,) = call["code_interpreter"]["outputs"]
    assert (output["type"], output["logs"].strip()) == ("logs", "x = 1")
    for step in (first, tools, last):
        assert (step["object"], step["status"]) == ("thread.run.step", "completed")
        assert (step["run_id"], step["thread_id"]) == (run["id"], thread["id"])
        assert step["assistant_id"] == assistant["id"]
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert run["usage"][count] == sum(step["usage"][count] for step in (first, tools, last))
    newest_first = api.get(f"{path}/runs/{run['id']}/steps")["data"]
    assert [step["id"] for step in newest_first] == [last["id"], tools["id"], first["id"]]


@pytest.mark.parametrize(
    "model", ["gpt-3.5-turbo-1106", "gpt-4", "ft:gpt-3.5-turbo-1106:org::abc", "gpt-3.5-turbo"]
)
async def test_every_model_name_is_taken_and_echoed(api: Api, model: str) -> None:
    run = api.run(api.thread("Hello"), api.assistant(model))
    assert run["model"] == model
    assert (await api.completes(run))["model"] == model


async def test_variables_survive_from_run_to_run_of_a_thread(api: Api) -> None:
    assistant = api.assistant(tools=[{"type": "code_interpreter"}])
    thread = api.thread("```python\nmarker = 4711\n```")
    await api.completes(api.run(thread, assistant))
    api.post(f"/threads/{thread}/messages", {"role": "user", "content": "```python\nprint(marker + 1)\n```"})
    run = await api.completes(api.run(thread, assistant))
    assert "4712" in text_of(api.messages(run)[-1])


async def test_the_next_question_may_follow_at_once(api: Api) -> None:
    """Whoever polls ``completed`` posts the next message right away: the thread must be free by then."""
    assistant, thread = api.assistant(), api.thread("Hello")
    for _ in range(5):
        run = api.run(thread, assistant)
        while api.run_of(run)["status"] in ("queued", "in_progress"):
            pass
        assert api.run_of(run)["status"] == "completed"
        assert len(api.messages(run)) == 1
        api.post(f"/threads/{thread}/messages", {"role": "user", "content": "And then?"})


def test_no_arrays_and_no_images_in_version_1(api: Api) -> None:
    thread = api.thread()
    content = [{"type": "text", "text": "Hello"}]
    error = api.refused("POST", f"/threads/{thread}/messages", {"role": "user", "content": content})
    assert error["type"] == "invalid_request_error"


def assert_now(seconds: object) -> None:
    assert isinstance(seconds, int)
    assert abs(seconds - time.time()) < 30
