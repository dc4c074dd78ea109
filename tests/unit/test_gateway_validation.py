"""What is wrong with a request body, in the API's words: one line of the table per kind of mistake."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.validation import invalid_request
from services.gateway.wire.assistants import CreateAssistant, CreateAssistantV1
from services.gateway.wire.fields import RequestBody
from services.gateway.wire.messages import CreateMessage, CreateMessageV1
from services.gateway.wire.runs import CreateRun, CreateRunV1, SubmitToolOutputs
from services.gateway.wire.threads import CreateThread, CreateThreadV1, ModifyThread

LONG = "x" * 256_001
NAMED = {"type": "function", "function": {"name": "f"}}
MESSAGE = {"role": "user", "content": "hi"}
TOOLS_V1 = "'code_interpreter', 'retrieval', and 'function'"
TOOLS_V2 = "'code_interpreter', 'function', and 'file_search'"
BAD_NAME = (
    "Invalid 'tools[0].function.name': string does not match pattern. "
    "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
)


def assistant(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4", **fields}


def image(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def run(**fields: Any) -> dict[str, Any]:
    return {"assistant_id": "asst_1", **fields}


def at_most(kind: str, most: int, got: int) -> str:
    article = "an" if kind == "array" else "a"
    return (
        f"{kind} too long. Expected {article} {kind} with maximum length {most}, "
        f"but got {article} {kind} with length {got} instead."
    )


MISTAKES: list[tuple[type[RequestBody], Any, str, str | None, str | None]] = [
    (CreateAssistant, {}, "Missing required parameter: 'model'.", "model", "missing_required_parameter"),
    (
        CreateAssistant,
        assistant(file_ids=[]),
        "Unknown parameter: 'file_ids'.",
        "file_ids",
        "unknown_parameter",
    ),
    (
        CreateAssistantV1,
        assistant(tool_resources={}),
        "Unknown parameter: 'tool_resources'.",
        "tool_resources",
        "unknown_parameter",
    ),
    (
        CreateAssistant,
        assistant(name=5),
        "Invalid type for 'name': expected a string, but got an integer instead.",
        "name",
        "invalid_type",
    ),
    (
        CreateAssistant,
        assistant(tools={}),
        "Invalid type for 'tools': expected an array, but got an object instead.",
        "tools",
        "invalid_type",
    ),
    (
        CreateAssistant,
        assistant(tools=["retrieval"]),
        "Invalid type for 'tools[0]': expected an object, but got a string instead.",
        "tools[0]",
        "invalid_type",
    ),
    (
        CreateAssistant,
        assistant(tools=[{"type": "retrieval"}]),
        f"Invalid value: 'retrieval'. Supported values are: {TOOLS_V2}.",
        "tools[0].type",
        "invalid_value",
    ),
    (
        CreateAssistantV1,
        assistant(tools=[{"type": "file_search"}]),
        f"Invalid value: 'file_search'. Supported values are: {TOOLS_V1}.",
        "tools[0].type",
        "invalid_value",
    ),
    (
        CreateAssistant,
        assistant(tools=[{}]),
        "Missing required parameter: 'tools[0].type'.",
        "tools[0].type",
        "missing_required_parameter",
    ),
    (
        CreateAssistant,
        assistant(tools=[{"type": "function"}]),
        "Missing required parameter: 'tools[0].function'.",
        "tools[0].function",
        "missing_required_parameter",
    ),
    (
        CreateAssistant,
        assistant(tools=[{"type": "function", "function": {}}]),
        "Missing required parameter: 'tools[0].function.name'.",
        "tools[0].function.name",
        "missing_required_parameter",
    ),
    (
        CreateAssistant,
        assistant(tools=[{"type": "function", "function": {"name": "a b"}}]),
        BAD_NAME,
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        CreateAssistant,
        assistant(tools=[NAMED] * 129),
        f"Invalid 'tools': {at_most('array', 128, 129)}",
        "tools",
        "array_above_max_length",
    ),
    (
        CreateAssistant,
        assistant(name="x" * 257),
        f"Invalid 'name': {at_most('string', 256, 257)}",
        "name",
        "string_above_max_length",
    ),
    (
        CreateAssistant,
        assistant(temperature=3),
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        "temperature",
        "decimal_above_max_value",
    ),
    (
        CreateAssistant,
        assistant(temperature="hot"),
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
        "temperature",
        "invalid_type",
    ),
    (
        CreateAssistant,
        assistant(reasoning_effort=1),
        "Invalid type for 'reasoning_effort': expected one of 'none', 'minimal', 'low', 'medium', 'high', "
        "'xhigh', or 'max', but got an integer instead.",
        "reasoning_effort",
        "invalid_type",
    ),
    (
        CreateAssistant,
        assistant(response_format="json"),
        "Invalid value: 'json'. Supported values are: 'auto' and 'none'.",
        "response_format",
        "invalid_value",
    ),
    (
        CreateAssistant,
        assistant(response_format={"type": "json_schema"}),
        "Missing required parameter: 'response_format.json_schema'.",
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    (
        CreateAssistant,
        assistant(
            tool_resources={"file_search": {"vector_stores": [{"file_ids": 1}]}},
        ),
        "Invalid type for 'tool_resources.file_search.vector_stores[0].file_ids': expected an array, "
        "but got an integer instead.",
        "tool_resources.file_search.vector_stores[0].file_ids",
        "invalid_type",
    ),
    (
        ModifyThread,
        {"metadata": {"modified": True}},
        "Invalid type for 'metadata.modified': expected a string, but got a boolean instead.",
        "metadata.modified",
        "invalid_type",
    ),
    (
        ModifyThread,
        {"metadata": []},
        "Invalid type for 'metadata': expected a metadata object, but got an array instead.",
        "metadata",
        "invalid_type",
    ),
    (
        ModifyThread,
        {"metadata": {str(n): "" for n in range(17)}},
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    ),
    (
        ModifyThread,
        {"metadata": {"k": "x" * 695}},
        f"Invalid 'metadata.k': {at_most('string', 512, 695)}",
        "metadata.k",
        "string_above_max_length",
    ),
    (
        ModifyThread,
        {"metadata": {"k" * 65: ""}},
        f"Invalid 'metadata': {at_most('string', 64, 65)}",
        "metadata",
        "string_above_max_length",
    ),
    (
        CreateThreadV1,
        {"metadata": {"k": ["no"]}},
        "Invalid type for 'metadata.k': expected a string, but got an array instead.",
        "metadata.k",
        "invalid_type",
    ),
    (
        CreateThread,
        {"messages": [MESSAGE, {"role": "user", "content": LONG}]},
        f"Invalid 'messages[1].content': {at_most('string', 256_000, 256_001)}",
        "messages[1].content",
        "string_above_max_length",
    ),
    (
        CreateThreadV1,
        {"messages": [MESSAGE] * 33},
        "1 validation error for Request\nbody -> messages\n  ensure this value has at most 32 items "
        "(type=value_error.list.max_items; limit_value=32)",
        "messages",
        None,
    ),
    (
        CreateMessage,
        {"role": "system", "content": "x"},
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        "role",
        "invalid_value",
    ),
    (
        CreateMessage,
        {"role": "user", "content": 1},
        "Invalid type for 'content': expected a string, but got an integer instead.",
        "content",
        "invalid_type",
    ),
    (
        CreateMessage,
        {"role": "user", "content": []},
        "Invalid 'content': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        "content",
        "empty_array",
    ),
    (
        CreateMessage,
        {"role": "user", "content": ""},
        "Invalid 'content': empty string. Expected a string with minimum length 1, but got an empty string "
        "instead.",
        "content",
        "empty_string",
    ),
    (
        CreateMessage,
        {"role": "user", "content": [{"type": "text", "text": {"value": "x"}}]},
        "Invalid type for 'content[0].text': expected a string, but got an object instead.",
        "content[0].text",
        "invalid_type",
    ),
    (
        CreateMessage,
        image("https://example.org/x.txt"),
        "Invalid 'content[0].image_url.url'. Expected url to end in a supported format",
        "content[0].image_url.url",
        "invalid_value",
    ),
    (
        CreateMessage,
        image("ftp://example.org/x.png"),
        "Invalid 'content[0].image_url.url'. Expected a valid URL, but got a value with an invalid format.",
        "content[0].image_url.url",
        "invalid_value",
    ),
    (
        CreateMessageV1,
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        "Invalid type for 'content': expected a string, but got an array instead.",
        "content",
        "invalid_type",
    ),
    (
        CreateRun,
        {},
        "Missing required parameter: 'assistant_id'.",
        "assistant_id",
        "missing_required_parameter",
    ),
    (
        CreateRun,
        run(tools=[NAMED] * 21),
        f"Invalid 'tools': {at_most('array', 20, 21)}",
        "tools",
        "array_above_max_length",
    ),
    (
        CreateRun,
        run(max_prompt_tokens=0),
        "Invalid 'max_prompt_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        "max_prompt_tokens",
        "integer_below_min_value",
    ),
    (
        CreateRun,
        run(truncation_strategy={"type": "last_messages", "last_messages": 0}),
        "Invalid 'truncation_strategy.last_messages': integer below minimum value. "
        "Expected a value >= 1, but got 0 instead.",
        "truncation_strategy.last_messages",
        "integer_below_min_value",
    ),
    (
        CreateRunV1,
        run(parallel_tool_calls=True),
        "Unknown parameter: 'parallel_tool_calls'.",
        "parallel_tool_calls",
        "unknown_parameter",
    ),
    (
        CreateRun,
        run(additional_messages=[{"role": "user", "content": "x", "extra": 1}]),
        "Unknown parameter: 'additional_messages[0].extra'.",
        "additional_messages[0].extra",
        "unknown_parameter",
    ),
    (
        SubmitToolOutputs,
        {"tool_outputs": [{"tool_call_id": "call_1", "output": {"a": 1}}]},
        "Invalid type for 'tool_outputs[0].output': expected a string, but got an object instead.",
        "tool_outputs[0].output",
        "invalid_type",
    ),
    (CreateRun, [], "Invalid body: expected an object, but got an array instead.", None, None),
]


@pytest.mark.parametrize(("model", "body", "message", "param", "code"), MISTAKES)
def test_tells_what_is_wrong(
    model: type[RequestBody], body: Any, message: str, param: str | None, code: str | None
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    error = invalid_request(caught.value.errors(include_url=False), body)
    assert (error.message, error.param, error.code) == (message, param, code)
    assert (error.status, error.type) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (CreateAssistant, assistant(name=None, tools=None, metadata=None, temperature=1, top_p=None)),
        (CreateAssistant, assistant(tool_resources={"code_interpreter": None, "file_search": {}})),
        (CreateThread, {"messages": None, "metadata": {"a.b": "", "$c": "d"}}),
        (CreateRun, run(max_completion_tokens=16, additional_messages=[], tool_choice="required")),
        (CreateRunV1, run(tool_choice={"type": "retrieval"}, response_format={"type": "json_object"})),
        (CreateMessage, image("http://example.org/A.PNG?size=1")),
        (SubmitToolOutputs, {"tool_outputs": [{"tool_call_id": "call_1"}], "stream": None}),
    ],
)
def test_null_means_the_default_and_odd_values_are_let_through(model: type[RequestBody], body: Any) -> None:
    model.model_validate(body)
