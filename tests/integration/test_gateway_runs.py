"""Runs over HTTP, on a real store: made, locked, read."""

import time
from concurrent.futures import ThreadPoolExecutor

from services.gateway.wire.objects import RunObject, RunStepObject
from tests.integration import recorded
from tests.integration.recorded import check_shape
from tests.integration.running_gateway import Api, Worker, started


def test_a_run_has_the_recorded_shape_in_both_versions(v1: Api, v2: Api) -> None:
    assistant, thread = v2.assistant(instructions=None), v2.thread("hi")
    made = v2.post(f"/threads/{thread}/runs", {"assistant_id": assistant, "additional_messages": []})
    check_shape(made, recorded.RUN_V2)
    RunObject.model_validate(made)
    assert made["status"] == "queued"
    assert made["expires_at"] == made["created_at"] + 600
    path = f"/threads/{thread}/runs/{made['id']}"
    assert v2.get(path) == made
    check_shape(v1.get(path), recorded.RUN_V1)
    assert not v1.get(path).keys() & {"tool_resources", "reasoning_effort", "parallel_tool_calls"}
    assert v2.get(f"/threads/{thread}/runs")["data"] == [made]


def test_a_run_copies_the_assistant_and_may_override_it(v2: Api) -> None:
    function = {"type": "function", "function": {"name": "f", "strict": True}}
    assistant = v2.assistant(tools=[{"type": "code_interpreter"}], temperature=0.2, top_p=0.3)
    copied = v2.post("/threads/runs", {"assistant_id": assistant})
    assert (copied["model"], copied["instructions"]) == ("gpt-4", "Be kind.")
    assert (copied["temperature"], copied["top_p"], copied["metadata"]) == (0.2, 0.3, {})
    assert copied["tool_resources"] == {"code_interpreter": {"file_ids": []}}
    overridden = v2.post(
        f"/threads/{v2.thread('hi')}/runs",
        {
            "assistant_id": assistant,
            "model": "gpt-4o",
            "instructions": "Be short.",
            "additional_instructions": "Be polite.",
            "tools": [function],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_object"},
            "truncation_strategy": {"type": "last_messages", "last_messages": 3},
            "max_completion_tokens": 16,
            "temperature": 0,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "metadata": {"k": "v"},
        },
    )
    assert overridden["instructions"] == "Be short. Be polite."
    assert overridden["tools"][0]["function"]["strict"] is True
    assert overridden["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert overridden["truncation_strategy"] == {"type": "last_messages", "last_messages": 3}
    assert overridden["temperature"] == 0.0
    assert (overridden["parallel_tool_calls"], overridden["reasoning_effort"]) == (False, "low")
    assert overridden["metadata"] == {"k": "v"}


def test_a_thread_runs_one_at_a_time(v2: Api) -> None:
    thread, run = started(v2)
    assistant, thread_id, run_id = v2.assistant(), thread.split("/")[-1], run.split("/")[-1]
    more = [{"role": "user", "content": "one more"}]
    for body in ({"assistant_id": assistant}, {"assistant_id": assistant, "additional_messages": more}):
        error = v2.refused("POST", f"{thread}/runs", body)
        assert error["message"] == f"Thread {thread_id} already has an active run {run_id}."
    error = v2.refused("POST", f"{thread}/messages", more[0])
    assert error["message"] == f"Can't add messages to {thread_id} while a run {run_id} is active."
    assert len(v2.get(f"{thread}/messages")["data"]) == 1
    v2.post(thread, {"metadata": {"still": "possible"}})


def test_of_many_creates_at_once_one_wins(v2: Api) -> None:
    thread, assistant = v2.thread("hi"), v2.assistant()
    body = {"assistant_id": assistant, "additional_messages": [{"role": "user", "content": "mine"}]}

    def create(_: int) -> int:
        return v2.client.post(f"/threads/{thread}/runs", json=body, headers=v2.headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(create, range(8)))
    assert sorted(statuses) == [200] + [400] * 7
    assert len(v2.get(f"/threads/{thread}/runs")["data"]) == 1
    texts = [each["content"][0]["text"]["value"] for each in v2.get(f"/threads/{thread}/messages")["data"]]
    assert texts == ["mine", "hi"]


async def test_a_message_is_read_by_the_run_or_refused(v2: Api, worker: Worker) -> None:
    """Whoever is first: a message that was accepted before the run began is part of its input."""
    assistant, texts = v2.assistant(), [f"text {n}" for n in range(6)]
    for _ in range(5):
        thread = v2.thread("hi")

        def post(text: str, path: str = f"/threads/{thread}") -> str | None:
            body: dict[str, str] = {"role": "user", "content": text}
            path += "/messages"
            if text == texts[3]:
                path, body = path.replace("/messages", "/runs"), {"assistant_id": assistant}
            response = v2.client.post(path, json=body, headers=v2.headers)
            return str(response.json()["id"]) if response.status_code == 200 else None

        with ThreadPoolExecutor(len(texts)) as pool:
            made = list(pool.map(post, texts))
        run_id = made.pop(3)
        assert run_id is not None
        accepted = {message_id for message_id in made if message_id}
        listed = [each["id"] for each in v2.get(f"/threads/{thread}/messages", order="asc")["data"]]
        assert set(listed[1:]) == accepted
        read = await worker.input_of(run_id)
        assert accepted <= set(read)


async def test_additional_messages_are_the_input_of_the_run(v2: Api, worker: Worker) -> None:
    extra = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    thread, run = started(v2, additional_messages=extra)
    roles = [each["role"] for each in v2.get(f"{thread}/messages", order="asc")["data"]]
    assert roles == ["user", "user", "assistant"]
    assert (await worker.get(run.split("/")[-1])).input_upto == 3


def test_what_a_run_names_must_be_there(v2: Api, v1: Api) -> None:
    thread, assistant = v2.thread(), v2.assistant(instructions=None)
    body = {"assistant_id": assistant}
    error = v2.refused("POST", "/threads/thread_never/runs", body, status=404)
    assert error["message"] == "No thread found with id 'thread_never'."
    error = v2.refused("POST", f"/threads/{thread}/runs", {"assistant_id": "asst_never"}, status=404)
    assert error["message"] == "No assistant found with id 'asst_never'."
    error = v2.refused("POST", f"/threads/{thread}/runs", body)
    assert (error["code"], error["message"]) == (
        "invalid_thread",
        "Run creation requires a Thread with a user message or an assistant with instructions.",
    )
    assert v2.refused("POST", "/threads/runs", body)["code"] == "invalid_thread"
    error = v2.refused("GET", f"/threads/{thread}/runs/run_never", status=404)
    assert error["message"] == "No run found with id 'run_never'."
    _, elsewhere = started(v2)
    v2.refused("GET", f"/threads/{thread}/runs/{elsewhere.split('/')[-1]}", status=404)
    v1.post(f"/threads/{thread}/runs", body)  # v1 lets a model talk to itself


def test_a_thread_can_be_made_with_its_run(v2: Api) -> None:
    thread = {"messages": [{"role": "user", "content": "hi"}], "metadata": {"of": "thread"}}
    run = v2.post(
        "/threads/runs",
        {
            "assistant_id": v2.assistant(),
            "thread": thread,
            "tool_resources": {"code_interpreter": {"file_ids": []}},
            "metadata": {"of": "run"},
        },
    )
    assert (run["object"], run["metadata"]) == ("thread.run", {"of": "run"})
    made = v2.get(f"/threads/{run['thread_id']}")
    assert made["metadata"] == {"of": "thread"}
    assert made["tool_resources"] == {"code_interpreter": {"file_ids": []}}
    assert len(v2.get(f"/threads/{run['thread_id']}/messages")["data"]) == 1
    error = v2.refused("POST", "/threads/runs", {"assistant_id": "a", "additional_messages": []})
    assert error["code"] == "unknown_parameter"


async def test_a_finished_run_shows_its_messages_steps_and_usage(v1: Api, v2: Api, worker: Worker) -> None:
    thread, run = started(v2)
    await worker.finish(run.split("/")[-1])
    seen = v2.get(run)
    RunObject.model_validate(seen)
    assert (seen["status"], seen["expires_at"], seen["usage"]["total_tokens"]) == ("completed", None, 12)
    [step] = v2.get(f"{run}/steps")["data"]
    RunStepObject.model_validate(step)
    assert v2.get(f"{run}/steps/{step['id']}") == step
    assert v1.get(f"{run}/steps/{step['id']}") == step
    answer, question = v2.get(f"{thread}/messages")["data"]
    assert answer["id"] == step["step_details"]["message_creation"]["message_id"]
    assert (answer["role"], answer["run_id"], question["run_id"]) == ("assistant", seen["id"], None)
    assert v2.get(f"{thread}/messages", run_id=seen["id"])["data"] == [answer]
    error = v2.refused("GET", f"{run}/steps/123", status=404)
    assert error["message"] == "No run step found with id '123'."
    v2.post(f"{thread}/messages", {"role": "user", "content": "thanks"})  # the lock is gone


async def test_a_run_stopped_by_its_budget_is_completed_for_v1(v1: Api, v2: Api, worker: Worker) -> None:
    _, run = started(v2)
    await worker.finish(run.split("/")[-1], "max_completion_tokens")
    for client, status in ((v1, "completed"), (v2, "incomplete")):
        seen = client.get(run)
        assert (seen["status"], seen["incomplete_details"]) == (status, {"reason": "max_completion_tokens"})


def test_making_and_reading_a_run_is_quick(v2: Api) -> None:
    """A loose bound, for a loaded machine: nothing waits for the broker or for a timeout."""
    thread, assistant = v2.thread("hi"), v2.assistant()
    began = time.monotonic()
    run = v2.post(f"/threads/{thread}/runs", {"assistant_id": assistant})
    v2.get(f"/threads/{thread}/runs/{run['id']}")
    assert time.monotonic() - began < 1.0
