"""What a model's server sends, as pieces of a reply."""

import pytest
from openai.types.chat import ChatCompletionChunk

from services.run_orchestrator import model
from services.run_orchestrator.replies import CallPiece, Piece, Text, storable
from shared.runs.model import Json


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


def chunk(delta: Json | None) -> ChatCompletionChunk:
    """A chunk as the client builds it: without a look at the values."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return ChatCompletionChunk.model_validate(
        {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    )


def call(**function: str) -> Json:
    return {"tool_calls": [{"index": 3, "function": function}]}


@pytest.mark.parametrize(
    ("delta", "pieces"),
    [
        ({}, []),
        ({"content": None}, []),
        ({"content": ""}, []),
        ({"content": "Hi"}, [Text("Hi")]),
        ({"content": "\ud83d"}, [Text("\ufffd")]),
        (call(name="f", arguments=""), [CallPiece(3, "f", "")]),
        (call(arguments='{"a"'), [CallPiece(3, "", '{"a"')]),
        (call(arguments="\ud83d"), [CallPiece(3, "", "\ufffd")]),
        ({"content": "Hi", **call(name="f")}, [Text("Hi"), CallPiece(3, "f", "")]),
    ],
)
def test_a_chunk_becomes_its_pieces(delta: Json, pieces: list[Piece]) -> None:
    assert model._pieces(chunk(delta)) == pieces
