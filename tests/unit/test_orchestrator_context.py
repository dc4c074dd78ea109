"""What of a thread the model sees, when not all of it fits."""

from collections.abc import AsyncIterator, Sequence

import pytest

from services.run_orchestrator.context import (
    MESSAGE_TOKENS,
    PromptBudgetUsedUp,
    Room,
    keep_first,
    room_for,
    select,
)
from shared.runs.model import Run, Settings
from shared.stores.database import Document
from shared.tokenizer import about_tokens, count_tokens, most_tokens

TEN = "one two three four five six seven eight nine ten"  # ten tokens
COST = 10 + MESSAGE_TOKENS


def thread(roles: str) -> list[Document]:
    """Messages of ten tokens, oldest first: ``u`` for a user's, ``a`` for an assistant's."""
    names = {"u": "user", "a": "assistant"}
    content = [{"type": "text", "text": {"value": TEN, "annotations": []}}]
    return [{"_id": str(n), "role": names[role], "content": content} for n, role in enumerate(roles)]


async def newest_first(messages: Sequence[Document]) -> AsyncIterator[Document]:
    for message in reversed(messages):
        yield message


def ids(messages: Sequence[Document]) -> str:
    return "".join(message["_id"] for message in messages)


@pytest.mark.parametrize(
    ("roles", "tokens", "last", "kept"),
    [
        ("uaua", 10_000, None, "0123"),  # all fit
        ("uaua", 4 * COST, None, "0123"),  # exactly
        ("uaua", 3 * COST, None, "123"),
        ("uauau", COST, None, "4"),
        ("uaaa", COST, None, "0123"),  # the user's newest message stays, with what follows it
        ("uaua", 0, None, "23"),
        ("uauau", 10_000, 2, "34"),
        ("uauau", 10_000, 9, "01234"),
        ("", 100, None, ""),
    ],
)
async def test_the_newest_messages_that_fit_are_kept(
    roles: str, tokens: int, last: int | None, kept: str
) -> None:
    room = Room(tokens, strict=False)
    assert ids(await select(newest_first(thread(roles)), room, last)) == kept


async def test_a_budget_that_cannot_hold_the_newest_question_is_used_up() -> None:
    with pytest.raises(PromptBudgetUsedUp):
        await select(newest_first(thread("ua")), Room(COST, strict=True), None)


@pytest.mark.parametrize(
    ("kept", "tokens", "seen"),
    [
        ("345", 4 * COST, "0345"),  # what is dropped is the middle
        ("2345", 4 * COST, "0345"),  # the first takes the place of the oldest
        ("5", COST, "5"),  # no place: the newest question goes before the first
        ("0123", 9 * COST, "0123"),
    ],
)
async def test_the_first_message_stays_if_there_is_place(kept: str, tokens: int, seen: str) -> None:
    messages = thread("uauauu")
    newest = [messages[int(n)] for n in kept]
    assert ids(await keep_first(newest, messages[0], Room(tokens, strict=False))) == seen


def run(**settings: object) -> Run:
    return Run(
        id="run_1",
        project_id="p",
        thread_id="t",
        assistant_id="a",
        created_at=0,
        expires_at=600,
        settings=Settings.model_validate({"model": "m", **settings}),
    )


async def test_the_room_is_what_window_reply_and_instructions_leave() -> None:
    empty = await room_for(run(), 8_000)
    assert 8_000 - 2_000 - 100 < empty.tokens < 8_000 - 2_000  # a quarter is kept for the reply
    assert not empty.strict
    longer = await room_for(run(instructions=TEN * 200), 8_000)
    assert 1_900 < empty.tokens - longer.tokens < 2_300
    assert (await room_for(run(max_completion_tokens=500), 8_000)).tokens > 7_400
    budget = await room_for(run(max_prompt_tokens=500), 8_000)
    assert budget.tokens < 500
    assert budget.strict


def test_tokens_are_counted_as_the_encoding_does() -> None:
    assert count_tokens(TEN) == 10
    assert count_tokens("Hello world, this isn't a test. 12345 x = 3\n\n  def f():") == 20
    assert count_tokens("你好世界") == 2
    for text in (TEN, "你好世界", "x" * 100, "\n\n\t  "):
        assert count_tokens(text) <= most_tokens(text)
    assert abs(about_tokens(TEN * 50) - count_tokens(TEN * 50)) < 0.25 * count_tokens(TEN * 50)
