"""Objects in their v1 form: what a client of the first version gets of what is kept in v2."""

from typing import Any

import pytest

from services.gateway.sse import encode, encode_error
from services.gateway.version import Version
from services.gateway.wire.v1 import render
from shared.errors import ServiceError
from shared.runs.model import Json, LastError, Outcome, Run, Settings, Step, ToolCall, Usage
from shared.runs.views import message_view, run_view, step_view

FILE_SEARCH = {"type": "file_search", "file_search": {"ranking_options": {}}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
RUN = Run(
    id="run_1",
    project_id="default",
    thread_id="thread_1",
    assistant_id="asst_1",
    created_at=1,
    expires_at=601,
    settings=Settings(model="m", tools=(FILE_SEARCH, FUNCTION), tool_choice={"type": "file_search"}),
)
STEP = Step(id="step_1", turn=1, type="message_creation", created_at=1, message_id="msg_1")


def v1(obj: dict[str, Any]) -> dict[str, Any]:
    return render(obj, Version.V1)


def delta(kind: str, **content: Any) -> dict[str, Any]:
    return {"id": "x", "object": f"thread.{kind}.delta", "delta": content}


def test_v2_objects_are_shown_as_they_are() -> None:
    obj = run_view(RUN)
    assert render(obj, Version.V2) is obj


def test_a_run_has_files_in_place_of_resources_and_the_old_names_of_tools() -> None:
    shown = v1(run_view(RUN))
    assert shown["tools"] == [
        {"type": "retrieval"},
        {"type": "function", "function": {"name": "f", "parameters": {}}},
    ]
    assert (shown["tool_choice"], shown["file_ids"]) == ({"type": "retrieval"}, [])
    assert not shown.keys() & {"tool_resources", "reasoning_effort", "parallel_tool_calls"}


def test_a_run_shows_the_files_that_v1_gave_its_assistant_to_v1_alone() -> None:
    of_code = {"code_interpreter": {"file_ids": ["file-1", "file-3"]}}
    settings = RUN.settings.evolve(file_ids=("file-1", "file-2"), tool_resources=of_code)
    run = run_view(RUN.evolve(settings=settings))
    assert v1(run)["file_ids"] == ["file-1", "file-2", "file-3"]
    assert render(run, Version.V2) == run_view(RUN) | {"tool_resources": of_code}


@pytest.mark.parametrize("choice", ["auto", {"type": "function", "function": {"name": "f"}}])
def test_other_tool_choices_stay(choice: Any) -> None:
    run = RUN.evolve(settings=RUN.settings.evolve(tool_choice=choice))
    assert v1(run_view(run))["tool_choice"] == choice


def test_an_incomplete_run_is_completed_for_clients_that_would_wait_for_ever() -> None:
    outcome = Outcome(status="incomplete", incomplete_reason="max_prompt_tokens")
    run = RUN.evolve(status="incomplete", phase="done", outcome=outcome, ended_at=9)
    shown = v1(run_view(run))
    assert (shown["status"], shown["completed_at"]) == ("completed", 9)
    assert shown["incomplete_details"] == {"reason": "max_prompt_tokens"}
    event = encode("thread.run.incomplete", run_view(run), Version.V1)
    assert event.startswith(b"event: thread.run.completed\ndata: {")
    assert encode("thread.run.incomplete", {"object": "x"}, Version.V2).startswith(b"event: thread.run.incom")


def test_a_failed_run_keeps_its_status() -> None:
    error = LastError(code="server_error", message="Sorry.")
    run = RUN.evolve(status="failed", outcome=Outcome(status="failed", last_error=error), usage=Usage())
    assert (v1(run_view(run))["status"], v1(run_view(run))["last_error"]) == ("failed", error.model_dump())


def test_a_message_shows_texts_and_files_only() -> None:
    citation = {"type": "file_citation", "text": "[1]", "file_citation": {"file_id": "file-1"}}
    path = {"type": "file_path", "text": "[2]", "file_path": {"file_id": "file-2"}}
    parts = (
        {"type": "text", "text": {"value": "[1][2]", "annotations": [citation, path]}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_file", "image_file": {"file_id": "file-3"}},
        {"type": "refusal", "refusal": "No."},
    )
    shown = v1(message_view(RUN, STEP.evolve(content=parts)))
    text, image, refusal = shown["content"]
    assert text["text"]["annotations"][0]["file_citation"] == {"quote": "", "file_id": "file-1"}
    assert text["text"]["annotations"][1] == path
    assert image == parts[2]
    assert refusal == {"type": "text", "text": {"value": "No.", "annotations": []}}
    assert (shown["file_ids"], "attachments" in shown) == (["file-2"], False)


def test_a_step_calls_retrieval_by_its_old_name() -> None:
    call = ToolCall(id="call_1", type="code_interpreter", name="code_interpreter", input="1")
    seen = step_view(RUN, STEP.evolve(type="tool_calls", message_id=None, calls=(call,)))
    assert v1(seen) == seen
    search = {"id": "call_2", "type": "file_search", "file_search": {"results": []}}
    details = {"type": "tool_calls", "tool_calls": [search]}
    shown = v1(seen | {"step_details": details})
    assert shown["step_details"]["tool_calls"] == [{"id": "call_2", "type": "retrieval", "retrieval": {}}]


def test_deltas_follow_the_same_rules_and_keep_their_index() -> None:
    text = {"index": 0, "type": "text", "text": {"value": "a"}}
    refusal = {"index": 1, "type": "refusal", "refusal": "b"}
    shown = v1(delta("message", content=[text, refusal]))
    assert shown["delta"]["content"] == [text, {"index": 1, "type": "text", "text": {"value": "b"}}]
    search = {"index": 0, "type": "file_search", "file_search": {}}
    shown = v1(delta("run.step", step_details={"type": "tool_calls", "tool_calls": [search]}))
    assert shown["delta"]["step_details"]["tool_calls"] == [
        {"index": 0, "type": "retrieval", "retrieval": {}}
    ]


def test_a_list_shows_each_member() -> None:
    page = {"object": "list", "data": [run_view(RUN)], "first_id": "run_1"}
    assert v1(page) == page | {"data": [v1(run_view(RUN))]}


def test_an_event_is_one_line_of_compact_json() -> None:
    text = {"object": "x", "text": "a\nb\u2028ü"}
    sent = encode("thread.message.delta", text, Version.V2).decode()
    assert sent == 'event: thread.message.delta\ndata: {"object":"x","text":"a\\nb\\u2028ü"}\n\n'


def test_an_error_event_suits_every_sdk() -> None:
    fields = '"message":"Oh.","type":"server_error","param":null,"code":null'
    assert encode_error(ServiceError("Oh.")).decode() == (
        f'event: error\ndata: {{"error":{{{fields}}},{fields}}}\n\n'
    )


QUOTED = {"type": "file_citation", "text": "[1]", "file_citation": {"file_id": "file-1", "quote": "q"}}
LINKED = {"type": "file_path", "text": "[2]", "file_path": {"file_id": "file-2"}}


def of_citation(obj: Json) -> list[Json]:
    parts = obj["delta"]["content"] if "delta" in obj else obj["content"]
    annotations: list[Json] = parts[1]["text"]["annotations"]
    assert annotations[1:] == [LINKED]
    return [annotations[0]["file_citation"]]


def test_a_quote_is_shown_by_v1_alone() -> None:
    image = {"type": "image_file", "image_file": {"file_id": "file-3"}}
    part = {"type": "text", "text": {"value": "[1][2]", "annotations": [QUOTED, LINKED]}}
    message = message_view(RUN, STEP.evolve(content=(image, part)))
    streamed = delta("message", content=[image, part])
    with_quote, without, empty = (
        {"file_id": "file-1", **quote} for quote in ({"quote": "q"}, {}, {"quote": ""})
    )
    assert of_citation(v1(message)) == of_citation(v1(streamed)) == [with_quote]
    assert of_citation(render(message, Version.V2)) == [without]
    assert of_citation(render({"object": "list", "data": [message]}, Version.V2)["data"][0]) == [without]
    assert of_citation(render(streamed, Version.V2)) == [empty]
    assert message["content"] == [image, part]  # which is shared with other streams


def test_v2_objects_are_not_copied_without_need() -> None:
    for obj in (run_view(RUN), message_view(RUN, STEP), delta("message", content=[])):
        assert render(obj, Version.V2) is obj
