"""What the model is asked."""

from dataclasses import replace
from typing import Any

import pytest

from services.run_orchestrator.file_search import SEARCH_TOOL
from services.run_orchestrator.files import code_file_ids
from services.run_orchestrator.passages import NOTHING, Passages
from services.run_orchestrator.prompt import (
    CODE_TOOL,
    NOTHING_SAID,
    Beside,
    build_prompt,
    completion_budget,
    offered_functions,
)
from shared.files.for_code import LARGEST_BYTES, CodeFile
from shared.runs import facts as f
from shared.runs.model import Json, Run, ToolCall
from tests.unit.run_samples import (
    ANSWERED_TOOL,
    CALLING,
    CALLS_STARTED,
    CLAIMED,
    CODE,
    FUNCTION,
    LLM,
    NOW,
    TEXT,
    TOLD,
    WRITING,
    after,
    calls_made,
)

UNASKED: Json = {"role": "system", "content": NOTHING_SAID}
INTERPRETER: Json = {"type": "code_interpreter"}
WEATHER: Json = {"type": "function", "function": {"name": "weather", "description": None, "strict": False}}


def configured(run: Run = LLM, **settings: Any) -> Run:
    return run.evolve(settings=run.settings.evolve(**settings))


def said(role: str, *texts: str) -> Json:
    parts = [{"type": "text", "text": {"value": text, "annotations": []}} for text in texts]
    return {"role": role, "content": parts}


def test_instructions_come_first_and_messages_in_order() -> None:
    thread = [said("user", "Hi"), said("assistant", "Hello"), said("user", "one", "two")]
    assert build_prompt(configured(instructions="Be brief."), thread) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "one\ntwo"},
        ]
    }


@pytest.mark.parametrize("instructions", [None, ""])
def test_without_instructions_there_is_no_system_message(instructions: str | None) -> None:
    assert build_prompt(configured(instructions=instructions), [said("user", "Hi")])["messages"] == [
        {"role": "user", "content": "Hi"}
    ]


def test_a_run_on_an_empty_thread_says_something_to_the_model() -> None:
    """Version 1 has such runs, and models refuse a prompt without a message."""
    assert build_prompt(configured(instructions=None), [])["messages"] == [UNASKED]


def test_a_user_s_images_go_along_and_files_do_not() -> None:
    image: Json = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}}
    file: Json = {"type": "image_file", "image_file": {"file_id": "file_1"}}
    message = said("user", "Look")
    message["content"] += [image, file]
    assert build_prompt(LLM, [message])["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image]}
    ]
    assert build_prompt(LLM, [message | {"role": "assistant"}])["messages"] == [
        {"role": "assistant", "content": "Look"}
    ]


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, {}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"response_format": "auto"}, {}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"max_completion_tokens": 9}, {"max_tokens": 9}),
        (
            {"max_completion_tokens": 9, "reasoning_effort": "low"},
            {"max_completion_tokens": 9, "reasoning_effort": "low"},
        ),
        ({"parallel_tool_calls": False}, {}),
    ],
)
def test_settings_are_sent_where_they_were_made(settings: Json, sent: Json) -> None:
    assert build_prompt(configured(**settings), []) == {"messages": [UNASKED], **sent}


@pytest.mark.parametrize(
    ("tools", "settings", "sent"),
    [
        ((), {"tool_choice": "required"}, {}),
        (({"type": "file_search", "file_search": {}},), {}, {"tools": [SEARCH_TOOL], "tool_choice": "auto"}),
        ((INTERPRETER,), {}, {"tools": [CODE_TOOL], "tool_choice": "auto"}),
        (
            (INTERPRETER, WEATHER),
            {"parallel_tool_calls": False, "tool_choice": "none"},
            {
                "tools": [CODE_TOOL, {"type": "function", "function": {"name": "weather"}}],
                "tool_choice": "none",
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_tools_are_offered(tools: tuple[Json, ...], settings: Json, sent: Json) -> None:
    assert build_prompt(configured(tools=tools, **settings), []) == {"messages": [UNASKED], **sent}


BY_NAME: Json = {"type": "function", "function": {"name": "weather"}}
OF_CODE: Json = {"type": "function", "function": {"name": "code_interpreter"}}


@pytest.mark.parametrize(
    ("choice", "first_turn", "later"),
    [
        ("auto", "auto", "auto"),
        ("none", "none", "none"),
        ("required", "required", "auto"),
        (BY_NAME, BY_NAME, "auto"),
        (INTERPRETER, OF_CODE, "auto"),
        ({"type": "file_search"}, "auto", "auto"),  # it is not on
    ],
)
def test_a_forced_call_is_forced_once(choice: Any, first_turn: Any, later: Any) -> None:
    run = configured(tools=(INTERPRETER, WEATHER), tool_choice=choice)
    assert build_prompt(run, [])["tool_choice"] == first_turn
    assert build_prompt(run.evolve(turn=2), [])["tool_choice"] == later


def test_a_search_is_forced_by_the_name_of_its_function() -> None:
    run = configured(tools=(SEARCH,), tool_choice={"type": "file_search"})
    assert build_prompt(run, [])["tool_choice"] == {"type": "function", "function": {"name": "file_search"}}


def test_the_names_on_offer() -> None:
    assert offered_functions(configured(tools=(INTERPRETER, WEATHER))) == {"code_interpreter", "weather"}
    assert offered_functions(LLM) == set()


def test_earlier_turns_are_told_with_their_calls_and_outputs() -> None:
    mixed = after(TOLD, calls_made(CODE, FUNCTION), f.ToolAnswered("c1", "2", NOW))
    run = after(mixed, f.OutputsSubmitted({"f1": "rain"}, NOW), CLAIMED)
    assert build_prompt(run, [])["messages"] == [
        {
            "role": "assistant",
            "content": "Hi",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "code_interpreter", "arguments": '{"code": "1+1"}'},
                },
                {"id": "f1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "tool", "tool_call_id": "f1", "content": "rain"},
    ]


def test_each_turn_is_a_message_of_its_own() -> None:
    second = after(ANSWERED_TOOL, CLAIMED, CALLS_STARTED, calls_made(CODE.evolve(id="c2")))
    run = after(second, f.ToolAnswered("c2", "", NOW), CLAIMED)
    assert [message["role"] for message in build_prompt(run, [])["messages"]] == ["assistant", "tool"] * 2


SEARCH: Json = {"type": "file_search", "file_search": {}}
SEARCHED = ToolCall(id="s1", type="file_search", name="file_search", input='["sky"]', place=4)
RESULT: Json = {"file_id": "file-1", "file_name": "a.txt", "score": 0.5}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"output": "", "results": (RESULT,)}, "the passages"),
        ({"output": "", "results": ()}, NOTHING),
        ({"output": "The search failed.", "results": ()}, "The search failed."),
    ],
)
def test_a_search_is_told_with_its_queries_and_what_it_found(answer: Json, told: str) -> None:
    run = after(CALLING, calls_made(SEARCHED), f.ToolAnswered("s1", now=NOW, **answer), CLAIMED)
    beside = Beside(searchable="Files: a.txt.", passages=Passages({"s1": "the passages"}))
    system, said, output = build_prompt(run, [], beside)["messages"]
    assert system == {"role": "system", "content": "Files: a.txt."}
    (call,) = said["tool_calls"]
    assert call["function"] == {"name": "file_search", "arguments": '{"queries": ["sky"]}'}
    assert output == {"role": "tool", "tool_call_id": "s1", "content": told}


@pytest.mark.parametrize("lost", [WRITING, CALLING, TOLD])
def test_what_a_lost_attempt_wrote_is_not_told(lost: Run) -> None:
    assert build_prompt(after(lost, f.Restarted(0, NOW)), [])["messages"] == [UNASKED]


def test_a_budget_shrinks_with_what_was_used() -> None:
    used = after(CALLING, calls_made(CODE), f.ToolAnswered("c1", "2", NOW), CLAIMED)
    assert completion_budget(configured(used)) is None
    assert completion_budget(configured(used, max_completion_tokens=10)) == 7
    assert completion_budget(configured(used, max_completion_tokens=2)) == 0


def test_a_prompt_is_the_same_whoever_builds_it() -> None:
    run = after(LLM, replace(CALLS_STARTED, content=TEXT))
    assert build_prompt(run, [said("user", "Hi")]) == build_prompt(run, [said("user", "Hi")])


def test_files_are_named_after_the_instructions() -> None:
    files = [CodeFile("file-1", "a.csv", 10), CodeFile("file-2", "b.csv", LARGEST_BYTES + 1)]
    for instructions, opening in (("Be brief.", "Be brief.\n\n"), (None, "")):
        beside = Beside(files)
        (told,) = build_prompt(configured(instructions=instructions), [], beside)["messages"]
        assert told["role"] == "system"
        first, second = (
            told["content"]
            .removeprefix(f"{opening}Uploaded files, in the working directory of the code:\n")
            .split("\n")
        )
        assert first == "- /mnt/data/a.csv (also /mnt/data/file-1), 10 bytes"
        assert "b.csv" in second
        assert "too large" in second


def test_a_run_reads_the_first_files_and_the_newest_ones() -> None:
    ids = [f"file-{n}" for n in range(50)]
    resources = {"code_interpreter": {"file_ids": ids}}
    assert code_file_ids(configured(tools=(INTERPRETER,), tool_resources=resources)) == (*ids[:20], *ids[30:])
    assert code_file_ids(configured(tools=(), tool_resources=resources)) == ()
    assert code_file_ids(configured(tools=(INTERPRETER,))) == ()
