"""From requests to what is stored, and pages of steps."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.gateway.metadata import merged
from services.gateway.paging import list_view, page_of_steps
from services.gateway.run_changes import status_of
from services.gateway.settings import Settings
from services.gateway.wire.assistants import DEFAULTS, CreateAssistant, ModifyAssistant, ModifyAssistantV1
from services.gateway.wire.runs import CreateRun, CreateRunV1, joined_instructions
from shared.errors import InvalidRequest
from shared.runs.model import Outcome, Run, Step
from shared.runs.model import Settings as RunSettings
from shared.stores.page import PageQuery

ASSISTANT = {**DEFAULTS, "_id": "asst_1", "model": "gpt-4", "instructions": "Be kind.", "temperature": 0.5}
RUN = Run(
    id="run_1",
    project_id="default",
    thread_id="thread_1",
    assistant_id="asst_1",
    created_at=1,
    expires_at=601,
    settings=RunSettings(model="m"),
)


def settings_of(**fields: Any) -> RunSettings:
    body = {"assistant_id": "asst_1", "additional_instructions": None, **fields}
    run = CreateRun.model_validate(body)
    return joined_instructions(run.settings(ASSISTANT), run.additional_instructions)


@pytest.mark.parametrize(
    ("fields", "instructions"),
    [
        ({}, "Be kind."),
        ({"instructions": None}, "Be kind."),
        ({"instructions": "Be short."}, "Be short."),
        ({"instructions": ""}, ""),
        ({"additional_instructions": "Be short."}, "Be kind. Be short."),
        ({"instructions": "Be short.", "additional_instructions": "Be polite."}, "Be short. Be polite."),
        ({"instructions": "", "additional_instructions": "Be polite."}, "Be polite."),
    ],
)
def test_instructions_replace_and_additional_ones_join(fields: dict[str, Any], instructions: str) -> None:
    assert settings_of(**fields).instructions == instructions


def test_null_leaves_what_the_assistant_says() -> None:
    settings = settings_of(model=None, temperature=None, tools=None, tool_choice=None)
    assert (settings.model, settings.temperature, settings.tools) == ("gpt-4", 0.5, ())
    assert (settings.tool_choice, settings.response_format) == ("auto", "auto")
    assert settings.truncation_strategy == {"type": "auto", "last_messages": None}


def test_no_tools_for_this_run_is_not_the_same_as_the_assistants() -> None:
    assistant = ASSISTANT | {"tools": [{"type": "code_interpreter"}]}
    body = CreateRun.model_validate({"assistant_id": "asst_1", "tools": []})
    assert body.settings(assistant).tools == ()
    assert body.settings(assistant).tool_resources == {}


def test_the_v1_tool_choice_is_stored_in_its_v2_form() -> None:
    body = CreateRunV1.model_validate({"assistant_id": "asst_1", "tool_choice": {"type": "retrieval"}})
    assert body.settings(ASSISTANT).tool_choice == {"type": "file_search"}


@pytest.mark.parametrize(("request_of", "awaited"), [(CreateRun, ("vs_t",)), (CreateRunV1, ("vs_a", "vs_t"))])
def test_a_run_waits_for_its_thread_s_files_and_a_v1_run_for_all(
    request_of: type[CreateRun | CreateRunV1], awaited: tuple[str, ...]
) -> None:
    of_assistant, of_thread = ({"file_search": {"vector_store_ids": [each]}} for each in ("vs_a", "vs_t"))
    body = request_of.model_validate({"assistant_id": "asst_1"})
    settings = body.settings(ASSISTANT | {"tool_resources": of_assistant}, of_thread)
    assert settings.tool_resources["file_search"] == {"vector_store_ids": ["vs_a", "vs_t"]}
    assert settings.awaited_stores == awaited


def test_a_modification_names_only_what_it_changes() -> None:
    assert ModifyAssistant.model_validate({}).changes() == {}
    body = {"name": None, "model": None, "tools": None, "tool_resources": None, "metadata": None}
    assert ModifyAssistant.model_validate(body).changes() == {"name": None, "tools": [], "tool_resources": {}}
    v1 = ModifyAssistantV1.model_validate({"metadata": {"a": True, "b": 1.5}, "file_ids": []})
    assert v1.changes() == {"metadata": {"a": "True", "b": "1.5"}}


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"type": "code_interpreter"}, {"type": "code_interpreter"}),
        (
            {
                "type": "file_search",
                "file_search": {
                    "max_num_results": 5,
                    "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
                },
            },
            {
                "type": "file_search",
                "file_search": {
                    "max_num_results": 5,
                    "ranking_options": {
                        "ranker": "default_2024_08_21",
                        "score_threshold": 0.5,
                        "hybrid_search": None,
                    },
                },
            },
        ),
        (
            {"type": "function", "function": {"name": "f", "strict": None, "parameters": {"$ref": "#"}}},
            {"type": "function", "function": {"name": "f", "parameters": {"$ref": "#"}, "strict": False}},
        ),
    ],
)
def test_tools_are_stored_with_their_defaults(sent: dict[str, Any], stored: dict[str, Any]) -> None:
    body = CreateAssistant.model_validate({"model": "m", "tools": [sent]})
    [tool] = body.changes()["tools"]
    assert tool == stored


def test_metadata_merges_up_to_its_limit() -> None:
    assert merged({"a": "1"}, {"a": "", "b": "2"}) == {"a": "", "b": "2"}
    assert merged({"a": "1"}, None) == {"a": "1"}
    with pytest.raises(InvalidRequest, match="got an object with 17 properties"):
        merged({str(n): "" for n in range(16)}, {"one": "more"})


def step(n: int, **fields: Any) -> Step:
    return Step(id=f"s{n}", turn=n, type="tool_calls", created_at=n, **fields)


STEPS = RUN.evolve(steps=(step(1), step(2), step(3, superseded=True), step(4), step(5)))


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        (PageQuery(), "s5 s4 s2 s1", False),
        (PageQuery(limit=2), "s5 s4", True),
        (PageQuery(limit=2, order="asc"), "s1 s2", True),
        (PageQuery(after="s4"), "s2 s1", False),
        (PageQuery(after="s3"), "s2 s1", False),
        (PageQuery(after="s1"), "", False),
        (PageQuery(before="s2"), "s5 s4", False),
        (PageQuery(before="s2", limit=1), "s4", True),
        (PageQuery(before="s4", order="asc", limit=1), "s2", True),
        (PageQuery(after="s5", before="s1"), "s4 s2", False),
        (PageQuery(after="s5", before="s1", limit=1), "s4", True),
        (PageQuery(after="never"), "", False),
    ],
)
def test_steps_page_like_every_list(query: PageQuery, ids: str, has_more: bool) -> None:
    steps, more = page_of_steps(STEPS, query)
    assert ([each.id for each in steps], more) == (ids.split(), has_more)


def test_an_empty_list_names_nothing() -> None:
    assert list_view([], has_more=False) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_decided_end_is_what_is_told_unless_it_is_a_cancellation() -> None:
    ending = RUN.evolve(phase="ending", status="in_progress", outcome=Outcome(status="completed"))
    assert status_of(ending) == "completed"
    cancelling = RUN.evolve(phase="ending", status="cancelling", outcome=Outcome(status="cancelled"))
    assert status_of(cancelling) == "cancelling"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example.org"])
def test_it_is_not_open_to_the_network_without_a_key(host: str) -> None:
    with pytest.raises(ValidationError, match="THREADMILL_API_KEY"):
        Settings(host=host)
    assert Settings(host=host, api_key=SecretStr("k")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_a_key_is_not_needed(host: str) -> None:
    assert Settings(host=host).api_key.get_secret_value() == ""
