"""Deltas on their way: merged where they come fast, numbered behind the event that they follow."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.run_orchestrator import frames
from services.run_orchestrator.frames import (
    MERGE_CHARACTERS,
    MERGE_S,
    Deltas,
    call_delta,
    image_delta,
    message_delta,
)
from shared.runs.model import Json, Slot
from tests.eventually import eventually
from tests.unit.recording_publisher import RecordingPublisher
from tests.unit.run_samples import CALLING, CALLS_STARTED, WRITING, after

WATCHED = WRITING.evolve(slots=(Slot(slot=1, stream="s"),))
STEP = WRITING.steps[0]


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest_asyncio.fixture
async def deltas(publisher: RecordingPublisher) -> AsyncIterator[Deltas]:
    made = Deltas(publisher)
    yield made
    await made.close()


def texts(publisher: RecordingPublisher) -> list[str]:
    return [data["delta"]["content"][0]["text"]["value"] for _, _, _, data in publisher.frames]


async def test_the_first_piece_goes_at_once_and_what_follows_fast_goes_together(
    publisher: RecordingPublisher, deltas: Deltas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MERGE_S", 1.0)  # "fast" on a busy machine too
    await deltas.begin(WATCHED, message_delta(STEP))
    for letter in "Hello":
        await deltas.add(letter)
    assert texts(publisher) == ["H"]

    async def merged() -> bool:
        return texts(publisher) == ["H", "ello"]

    await eventually(merged)


async def test_much_text_does_not_wait(publisher: RecordingPublisher, deltas: Deltas) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    await deltas.add("H")
    await deltas.add("x" * MERGE_CHARACTERS)
    assert texts(publisher) == ["H", "x" * MERGE_CHARACTERS]


async def test_a_flush_leaves_nothing_for_later(publisher: RecordingPublisher, deltas: Deltas) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    await deltas.add("a")
    await deltas.add("b")
    await deltas.flush()
    await asyncio.sleep(MERGE_S * 3)
    assert texts(publisher) == ["a", "b"]


async def test_flushes_at_once_send_nothing_twice_and_in_order(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    for letter in "abc":
        await deltas.add(letter)
        await asyncio.gather(deltas.flush(), deltas.flush(), deltas.flush())
    assert texts(publisher) == ["a", "b", "c"]


async def test_deltas_are_counted_behind_the_event_they_follow(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    for letter in "ab":
        await deltas.add(letter)
        await deltas.flush()
    later = after(WATCHED, CALLS_STARTED)
    await deltas.begin(later, message_delta(STEP))
    await deltas.add("c")
    await deltas.flush()
    first, then = len(WATCHED.events), len(later.events)
    assert [(seq, n) for seq, n, _, _ in publisher.frames] == [(first, 1), (first, 2), (then, 1)]


async def test_a_new_target_ends_the_one_before(publisher: RecordingPublisher, deltas: Deltas) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    await deltas.add("a")
    await deltas.add("b")
    await deltas.begin(WATCHED, call_delta(CALLING.steps[0], 0, "c1", "weather", "function"))
    assert texts(publisher) == ["a", "b"]


async def test_a_run_that_nobody_watches_sends_nothing(publisher: RecordingPublisher, deltas: Deltas) -> None:
    await deltas.begin(WRITING, message_delta(STEP))
    await deltas.add("a")
    await deltas.flush()
    assert publisher.frames == []


async def test_only_the_first_delta_carries_what_readers_would_add_up(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    await deltas.begin(WATCHED, message_delta(STEP))
    for letter in "ab":
        await deltas.add(letter)
        await deltas.flush()
    parts = [data["delta"]["content"][0]["text"] for _, _, _, data in publisher.frames]
    assert parts == [{"value": "a", "annotations": []}, {"value": "b"}]
    assert {data["id"] for _, _, _, data in publisher.frames} == {STEP.message_id}


async def test_an_annotation_comes_in_one_delta_with_its_text_and_behind_what_is_before_it(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    cited = {"index": 0, "type": "file_citation", "text": "【1:0†a】"}
    await deltas.begin(WATCHED, message_delta(STEP))
    for text in "ab":
        await deltas.add(text)
    await deltas.add("【1:0†a】", [cited])
    await deltas.add("c")
    await deltas.flush()
    parts = [data["delta"]["content"][0]["text"] for _, _, _, data in publisher.frames]
    told = [part["value"] for part in parts]
    assert "".join(told) == "ab【1:0†a】c"
    assert parts[told.index("【1:0†a】")] == {"value": "【1:0†a】", "annotations": [cited]}
    assert parts[-1] == {"value": "c"}


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("function", {"name": "f", "arguments": "a", "output": None}, {"arguments": "b"}),
        ("code_interpreter", {"input": "a", "outputs": []}, {"input": "b"}),
        ("file_search", {"ranking_options": {"ranker": "r"}, "results": []}, {}),
    ],
)
def test_a_call_is_named_once(kind: str, first: Json, second: Json) -> None:
    wrap = call_delta(CALLING.steps[0], 2, "c1", "f", kind, {"ranker": "r"})
    for text, is_first, detail in (("a", True, first), ("b", False, second)):
        event, data = wrap(text, is_first, ())
        call = {"index": 2, "type": kind, kind: detail} | ({"id": "c1"} if is_first else {})
        assert event == "thread.run.step.delta"
        assert data["delta"]["step_details"]["tool_calls"] == [call]


LATE = Slot(slot=3, stream="late")


async def test_who_comes_late_gets_what_was_written_behind_the_last_event_and_then_the_rest(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    """Nobody watched before."""
    await deltas.begin(WRITING, message_delta(STEP, index=1))
    await deltas.send(*image_delta(STEP, 0, {"type": "image_file", "image_file": {"file_id": "file-1"}}))
    for letter in "ab":
        await deltas.add(letter)
    await deltas.show(LATE)
    await deltas.show(LATE)
    await deltas.add("c")
    await deltas.flush()
    whole, last = publisher.frames
    assert (whole[:2], last[:2]) == ((len(WRITING.events), 1), (len(WRITING.events), 2))
    image, text = whole[3]["delta"]["content"]
    assert (image["image_file"], text) == (
        {"file_id": "file-1"},
        {"index": 1, "type": "text", "text": {"value": "ab", "annotations": []}},
    )
    assert last[3]["delta"]["content"][0]["text"] == {"value": "c"}


async def test_who_comes_between_two_targets_hears_the_next_one(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    await deltas.show(LATE)
    assert publisher.frames == []
    await deltas.begin(WRITING, message_delta(STEP))
    await deltas.add("a")
    assert [n for _, n, _, _ in publisher.frames] == [1]


async def test_who_comes_late_gets_every_call_of_the_step(
    publisher: RecordingPublisher, deltas: Deltas
) -> None:
    for index, name in enumerate(("f", "g")):
        await deltas.begin(WRITING, call_delta(CALLING.steps[0], index, f"c{index}", name, "function"))
        await deltas.add("")
        await deltas.add("{}")
    await deltas.show(LATE)
    [(_, _, event, data)] = publisher.frames
    calls = data["delta"]["step_details"]["tool_calls"]
    assert event == "thread.run.step.delta"
    assert [(call["index"], call["id"], call["function"]["arguments"]) for call in calls] == [
        (0, "c0", "{}"),
        (1, "c1", "{}"),
    ]
