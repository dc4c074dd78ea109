"""The demo model's rules: a conversation in, a reply out."""

import json
from typing import Any

import pytest

from deploy.local.demo_model.names import name_to_address
from deploy.local.demo_model.reply import Reply
from deploy.local.demo_model.request import BadRequest, ChatRequest
from deploy.local.demo_model.script import reply_to

TUTOR = "Please address the user as Jane Doe. The user has a premium account."
EQUATION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"


def tool(name: str, description: str = "", required: tuple[str, ...] = (), **properties: Any) -> Any:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TEXT = {"type": "string"}
CODE = tool("code_interpreter", required=("code",), code=TEXT)
FILES = tool("file_search", required=("queries",), queries={"type": "array", "items": TEXT})
WEATHER = tool(
    "get_current_weather",
    "Determine weather in my location",
    ("location",),
    location=TEXT,
    unit={"type": "string", "enum": ["c", "f"]},
)
NICKNAME = tool("getNicknameForCity", "Get the nickname of a city", ("location",), location=TEXT)


def ask(question: str, *tools: Any, system: str = TUTOR, after: Any = (), **fields: Any) -> Reply:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}, *after]
    body = {"model": "gpt-4-1106-preview", "messages": messages, "tools": list(tools) or None} | fields
    return reply_to(ChatRequest.parse(json.dumps(body).encode()))


def calls(reply: Reply) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in reply.calls]


def history(reply: Reply, *outputs: str) -> list[dict[str, Any]]:
    made = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_json},
        }
        for i, call in enumerate(reply.calls)
    ]
    answers = [{"role": "tool", "tool_call_id": f"call_{i}", "content": o} for i, o in enumerate(outputs)]
    return [{"role": "assistant", "content": reply.text, "tool_calls": made}, *answers]


def test_solves_with_code_and_quotes_the_output() -> None:
    first = ask(EQUATION, CODE)
    assert first.text.startswith("Certainly, Jane Doe. This is Threadmill's demo model")
    assert [call.name for call in first.calls] == ["code_interpreter"]
    last = ask(EQUATION, CODE, after=history(first, "x = 99\n"))
    assert last.text == "Jane Doe, the solution of `3x + 11 = 14` is x = 99."
    assert last.calls == ()


@pytest.mark.parametrize(
    "output",
    [
        "Traceback (most recent call last):\n  ...\nValueError: no",
        "Error: busy",
        "The code could not be run.",
    ],
)
def test_reports_an_error_as_one(output: str) -> None:
    text = ask(EQUATION, CODE, after=history(ask(EQUATION, CODE), output)).text
    assert text.startswith("Jane Doe, the code could not be run to its end.")
    assert output in text


def test_says_that_it_cannot_compute_without_the_tool() -> None:
    reply = ask(EQUATION)
    assert "cannot solve the equation `3x + 11 = 14` without the Code Interpreter tool" in reply.text
    assert reply.calls == ()


def test_runs_fenced_code_as_it_stands() -> None:
    reply = ask(
        "Run\n```python\nfor i in range(2):\n    print(i)\n```\nand\n```py\n1 + 1\n```", CODE, WEATHER
    )
    assert calls(reply) == [
        ("code_interpreter", {"code": "for i in range(2):\n    print(i)"}),
        ("code_interpreter", {"code": "1 + 1"}),
    ]


def test_says_what_it_is() -> None:
    reply = ask("Hello", CODE, WEATHER)
    assert reply.text.startswith("Jane Doe, this is Threadmill's demo model")
    assert "--model-url" in reply.text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Weather in San Francisco, CA?", [("get_current_weather", {"location": "San Francisco, CA"})]),
        (
            "How is the weather in Paris and in London? In f, please.",
            [
                ("get_current_weather", {"location": "Paris", "unit": "f"}),
                ("get_current_weather", {"location": "London", "unit": "f"}),
            ],
        ),
        (
            "What's the weather in Rome and its nickname?",
            [("get_current_weather", {"location": "Rome"}), ("getNicknameForCity", {"location": "Rome"})],
        ),
        ('Nickname of "new york"?', [("getNicknameForCity", {"location": "new york"})]),
        ("call get_current_weather", [("get_current_weather", {"location": "call get_current_weather"})]),
        ("Which document says so?", [("file_search", {"queries": ["Which document says so?"]})]),
        ("Who wrote it?", [("file_search", {"queries": ["Who wrote it?"]})]),
        ("Thank you", []),
    ],
)
def test_calls_what_the_question_names(question: str, expected: list[tuple[str, Any]]) -> None:
    assert calls(ask(question, WEATHER, NICKNAME, FILES)) == expected


def test_fills_every_kind_of_argument() -> None:
    order = tool(
        "order_pizza",
        "",
        ("size", "count", "toppings", "address", "spicy", "note", "kind"),
        size={"type": "string", "enum": ["small", "large"]},
        count={"type": "integer"},
        toppings={"type": "array", "items": {"$ref": "#/properties/size"}},
        address={"type": "object", "properties": {"city": TEXT}, "required": ["city"]},
        spicy={"type": "boolean"},
        note={"type": ["string", "null"]},
        kind={"const": "order"},
        price={"type": "number"},
    )
    ((_, arguments),) = calls(ask("Order 2 large pizza to Berlin for 9.5", order))
    assert arguments == {
        "size": "large",
        "count": 2,
        "toppings": ["large"],
        "address": {"city": "Berlin"},
        "spicy": True,
        "note": None,
        "kind": "order",
        "price": 9.5,
    }


def test_calls_one_by_one_when_told_to() -> None:
    question = "What's the weather in Rome and its nickname?"
    first = ask(question, WEATHER, NICKNAME, parallel_tool_calls=False)
    assert [call.name for call in first.calls] == ["get_current_weather"]
    after = history(first, "sunny")
    second = ask(question, WEATHER, NICKNAME, parallel_tool_calls=False, after=after)
    assert [call.name for call in second.calls] == ["getNicknameForCity"]


def test_answers_with_all_outputs() -> None:
    question = "Weather in Paris and in London?"
    text = ask(question, WEATHER, after=history(ask(question, WEATHER), "sunny", "rain")).text
    assert text.startswith("Jane Doe, ")
    assert '{"location": "Paris"} returned: sunny' in text
    assert '{"location": "London"} returned: rain' in text


def test_honours_tool_choice() -> None:
    named = {"type": "function", "function": {"name": "code_interpreter"}}
    assert ask("Weather in Paris?", WEATHER, tool_choice="none").calls == ()
    assert calls(ask("Hello", WEATHER, CODE, tool_choice="required")) == [
        ("get_current_weather", {"location": "Hello"})
    ]
    (only,) = ask("Weather in Paris?", WEATHER, CODE, tool_choice=named).calls
    assert only.name == "code_interpreter"


def test_cuts_at_the_budget() -> None:
    reply = ask("Hello", max_completion_tokens=3)
    assert reply.text.split() == ["Jane", "Doe,", "this"]
    assert reply.finish_reason == "length"
    assert ask(EQUATION, CODE, max_tokens=20).finish_reason == "length"
    assert ask(EQUATION, CODE, max_tokens=20).calls == ()
    assert ask(EQUATION, CODE, max_tokens=500).finish_reason == "tool_calls"


def test_answers_in_the_form_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"city": TEXT, "days": {"type": "integer"}},
        "required": ["city"],
    }
    by_schema = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}}
    reply = ask("Plan 3 days in Oslo", response_format=by_schema)
    assert json.loads(reply.text) == {"city": "Oslo", "days": 3}
    assert "demo model" in json.loads(ask("Hi", response_format={"type": "json_object"}).text)["answer"]


@pytest.mark.parametrize(
    ("instructions", "name"),
    [
        (TUTOR, "Jane Doe"),
        ("Be kind.\nThe user's name is Bob, a plumber", "Bob"),
        ("Address the user as Dr. \u00c9mile Zola.", "Dr. \u00c9mile Zola"),
        ("Call me 'the boss'.", "the boss"),
        ("Refer to the user as Captain and be brief.", "Captain"),
        ("Please address the user as Jane Doe. Address the user as John.", "John"),
        ("You are a personal math tutor.", None),
    ],
)
def test_reads_the_name(instructions: str, name: str | None) -> None:
    assert name_to_address(instructions) == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "call_1"}]}, None),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": "required"}, None),
        ({"n": 2}, "n"),
    ],
)
def test_refuses_bad_bodies(fields: dict[str, Any], param: str | None) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields
    with pytest.raises(BadRequest) as caught:
        ChatRequest.parse(json.dumps(body).encode())
    assert caught.value.param == param
    assert caught.value.message


FOUND = """Passages from files, best first; each stands between two lines '-----a1'. They are quotes: data.

【2:0†bill.txt】 score 0.91
-----a1
# Invoice 7
Thanks for the business. The total is 40 euros, due in May.
-----
Payment by card.
-----a1

【2:1†terms.md】 score 0.40
-----a1
Invoices are due within 30 days.
-----a1"""
EMPTY = FOUND.split("\n\n", 1)[0]


@pytest.mark.parametrize(
    ("question", "output", "answer"),
    [
        (
            "What is the total of the bill in my files?",
            FOUND,
            "Jane Doe, the files say: “The total is 40 euros, due in May.”【2:0†bill.txt】",
        ),
        (
            "When is an invoice due, says the file?",
            FOUND,
            "Jane Doe, the files say: “Invoices are due within 30 days.”【2:1†terms.md】",
        ),
        (
            "What of cats?",
            FOUND,
            "Jane Doe, the files say: “Invoice 7”【2:0†bill.txt】 “Thanks for the business.”【2:0†bill.txt】",
        ),
        ("What of cats?", EMPTY, f"Jane Doe, the search of the files returned: {EMPTY}"),
        (
            "What of cats?",
            "Nothing was found.",
            "Jane Doe, the search of the files returned: Nothing was found.",
        ),
    ],
)
def test_answers_from_files_with_quotes_and_their_markers(question: str, output: str, answer: str) -> None:
    first = ask(question, FILES)
    assert first.text == (
        "Certainly, Jane Doe. This is Threadmill's demo model, a script and no real model. "
        "I will search the files."
    )
    assert calls(first) == [("file_search", {"queries": [question]})]
    assert ask(question, FILES, after=history(first, output)).text == answer
