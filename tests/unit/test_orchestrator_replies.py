"""What a model's server sends, as pieces of a reply."""

from typing import Any

import pytest

from services.run_orchestrator import chunks
from services.run_orchestrator.replies import CallPiece, FaultyReply, Piece, Text, storable
from shared.runs.model import Json, Usage


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("plain, größer, 日本, 😀", "plain, größer, 日本, 😀"),
        ("\ufeffwith a mark", "\ufeffwith a mark"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00b", "\ufffdb"),
        ("\ude00\ud83d.", "\ufffd\ufffd."),
    ],
)
def test_what_utf8_cannot_say_is_replaced(text: str, kept: str) -> None:
    assert storable(text) == kept
    storable(text).encode()


def chunk(delta: Json | None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def call(**function: str) -> Json:
    return {"tool_calls": [{"index": 3, "function": function}]}


@pytest.mark.parametrize(
    ("delta", "pieces"),
    [
        (None, []),
        ({}, []),
        ({"content": None}, []),
        ({"content": ""}, []),
        ({"content": "Hi"}, [Text("Hi")]),
        ({"content": "\ud83d"}, [Text("\ufffd")]),
        ({"content": None, "refusal": "I won't"}, [Text("I won't")]),
        (call(name="f", arguments=""), [CallPiece(3, "f", "")]),
        (call(arguments='{"a"'), [CallPiece(3, "", '{"a"')]),
        (call(arguments="\ud83d"), [CallPiece(3, "", "\ufffd")]),
        ({"content": "Hi", **call(name="f")}, [Text("Hi"), CallPiece(3, "f", "")]),
    ],
)
def test_a_chunk_becomes_its_pieces(delta: Json, pieces: list[Piece]) -> None:
    assert chunks.pieces(chunk(delta)) == pieces


@pytest.mark.parametrize("said", [{}, {"choices": None}, {"choices": []}, {"usage": None}])
def test_a_chunk_may_say_nothing(said: Json) -> None:
    assert (chunks.pieces(said), chunks.reason(said), chunks.usage(said)) == ([], None, None)


def test_the_last_chunks_say_why_it_ends_and_what_it_cost() -> None:
    assert chunks.reason({"choices": [{"delta": {}, "finish_reason": "stop"}]}) == "stop"
    counted = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert chunks.usage({"choices": [], "usage": counted}) == Usage(prompt_tokens=3, completion_tokens=2)


@pytest.mark.parametrize(
    "broken",
    [
        [],
        "text",
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"content": 1}}]},
        {"choices": [{"delta": {"tool_calls": {}}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": "f"}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": "1", "function": {}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {}}}]}}]},
    ],
)
def test_what_is_no_chunk_is_a_faulty_reply(broken: Any) -> None:
    with pytest.raises(FaultyReply):
        chunks.pieces(broken)
