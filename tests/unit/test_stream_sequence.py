"""The order of a stream and its sums: frames in, pairs out."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from services.gateway.stream.frames import Arrived
from services.gateway.stream.sequence import MAX_HELD, Sequence
from shared.runs.views import Named
from tests.unit.stream_history import (
    History,
    cancelled,
    check,
    cut_short,
    functions,
    plain,
    taken_over,
    told,
    with_code,
    with_search,
)

SCRIPTS: dict[str, Callable[[], History]] = {
    "plain": plain,
    "code": with_code,
    "code that prints": lambda: with_code("4", "2\n"),
    "search": with_search,
    "functions": functions,
    "mixed": lambda: functions(mixed=True),
    "taken over": taken_over,
    "cut short": cut_short,
    "cancelled": cancelled,
}


def feed(sequence: Sequence, *frames: Arrived) -> list[Named]:
    return [pair for frame in frames for pair in sequence.take(frame)]


def texts(pairs: list[Named]) -> list[str]:
    return [
        data["delta"]["content"][0]["text"]["value"] for name, data in pairs if name == "thread.message.delta"
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_passes_on_what_comes_in_order(script: str) -> None:
    history = SCRIPTS[script]()
    sequence = Sequence("run_1", after=0)
    pairs = feed(sequence, *history.frames)
    pairs += sequence.absorb(history.run)  # where an event of the feed alone left a gap
    assert sequence.ended
    assert sequence.hole is None
    check(pairs, history.run)


@pytest.mark.parametrize("script", SCRIPTS)
def test_tells_the_same_from_the_store_alone(script: str) -> None:
    history = SCRIPTS[script]()
    sequence = Sequence("run_1", after=0)
    check(sequence.absorb(history.run), history.run)
    assert sequence.ended


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("seed", range(60))
def test_heals_whatever_happens_to_the_frames(script: str, seed: int) -> None:
    history = SCRIPTS[script]()
    chance = random.Random(seed)
    arrivals = [i for i in range(len(history.frames)) for _ in range(chance.choice((0, 1, 1, 1, 1, 2)))]
    arrivals.sort(key=lambda i: i + chance.uniform(0, chance.choice((0, 3, 8))))
    sequence, pairs, newest = Sequence("run_1", after=0), [], 0
    for i in arrivals:
        newest = max(newest, i)
        pairs += sequence.take(history.frames[i])
        if sequence.asks or (sequence.hole and chance.random() < 0.2):
            hole = sequence.hole
            pairs += sequence.absorb(history.stored[newest])
            if hole == sequence.hole:
                sequence.give_up()
    pairs += sequence.absorb(history.run)
    assert sequence.ended
    check(pairs, history.run)


def test_yields_each_piece_of_text_as_it_comes() -> None:
    history = plain()
    pairs = feed(Sequence("run_1", after=0), *history.frames)
    assert texts(pairs) == ["Hel", "lo ", "wor", "ld"]


def test_begins_behind_the_given_event() -> None:
    history = plain()
    pairs = feed(Sequence("run_1", after=3), *history.frames)
    assert [name for name, _ in pairs if not name.endswith("delta")] == told(history.run)[3:]


def test_drops_what_was_told_already() -> None:
    history = plain()
    sequence = Sequence("run_1", after=0)
    once = feed(sequence, *history.frames[:8])
    assert len(once) == 8
    assert feed(sequence, *history.frames[:8]) == []
    assert sequence.hole is None


def test_holds_what_comes_too_early() -> None:
    first, second, third = plain().frames[:3]
    sequence = Sequence("run_1", after=0)
    assert feed(sequence, third, second) == []
    assert sequence.hole == (0, 0)
    assert [name for name, _ in sequence.take(first)] == [first.event, second.event, third.event]
    assert sequence.hole is None


def test_takes_late_events_of_an_older_epoch() -> None:
    """The gateway sent the first two before anybody owned the run."""
    history = plain()
    queued, in_progress = history.frames[1:3]
    assert queued.epoch < in_progress.epoch
    sequence = Sequence("run_1", after=1)
    assert len(feed(sequence, in_progress, queued)) == 2


def test_drops_the_deltas_of_an_owner_that_was_fenced() -> None:
    history = taken_over()
    stale = [frame for frame in history.frames if frame.n and frame.epoch == 1]
    begun = [frame for frame in history.frames if frame.epoch < 2 and not frame.n]
    sequence = Sequence("run_1", after=0)
    feed(sequence, *begun)
    newer = next(frame for frame in history.frames if frame.epoch == 2)
    sequence.take(newer._replace(seq=newer.seq + 1))  # the first frame of the new owner got lost
    assert feed(sequence, *stale) == []


def test_sends_what_a_lost_delta_held_with_the_end_of_its_message() -> None:
    history = plain()
    deltas = [frame for frame in history.frames if frame.n]
    sequence = Sequence("run_1", after=0)
    pairs = feed(sequence, *(frame for frame in history.frames if frame is not deltas[1]))
    assert texts(pairs) == ["Hel", "lo world"]
    check(pairs, history.run)


def test_does_not_wait_for_ever_for_a_lost_delta() -> None:
    history = plain()
    first, lost, third, fourth = (frame for frame in history.frames if frame.n)
    sequence = Sequence("run_1", after=0)
    feed(
        sequence, *(frame for frame in history.frames if frame.seq <= first.seq and not frame.n), first, third
    )
    assert sequence.hole
    sequence.give_up()
    assert sequence.hole is None
    assert feed(sequence, lost, fourth) == []
    assert texts(sequence.absorb(history.run)) == ["lo world"]


def test_gives_the_first_synthetic_delta_its_full_shape() -> None:
    history = with_code()
    deltas = [data for name, data in Sequence("run_1", after=0).absorb(history.run) if name.endswith("delta")]
    call, message = (delta["delta"] for delta in deltas)
    assert call["step_details"] == {
        "type": "tool_calls",
        "tool_calls": [
            {
                "index": 0,
                "id": "call_c",
                "type": "code_interpreter",
                "code_interpreter": {
                    "input": "print(6 * 7)",
                    "outputs": [
                        {"index": 0, "type": "logs", "logs": "42\n"},
                        {"index": 1, "type": "image", "image": {"file_id": "file-2"}},
                    ],
                },
            }
        ],
    }
    image, part = message["content"]
    assert image == {"index": 0, "type": "image_file", "image_file": {"file_id": "file-2"}}
    assert (part["index"], part["type"]) == (1, "text")
    assert part["text"]["value"] == "See 【1】."
    assert [annotation["index"] for annotation in part["text"]["annotations"]] == [0]


def test_names_a_call_once() -> None:
    history = with_code()
    code = [frame for frame in history.frames if frame.event == "thread.run.step.delta"]
    sequence = Sequence("run_1", after=0)
    pairs = feed(sequence, *(frame for frame in history.frames if frame not in code[2:]))
    last = [data for name, data in pairs if name == "thread.run.step.delta"][-1]
    (call,) = last["delta"]["step_details"]["tool_calls"]
    assert call.keys() == {"index", "type", "code_interpreter"}
    assert call["code_interpreter"]["input"] == "print(6 * 7)"[4:]


def test_asks_the_store_for_a_call_that_it_never_heard_of() -> None:
    history = functions()
    frames = [frame for frame in history.frames if not frame.n]
    sequence = Sequence("run_1", after=0)
    feed(sequence, *frames)
    assert sequence.asks
    pairs = sequence.absorb(history.run)
    assert not sequence.asks
    assert sequence.ended
    assert [name for name, _ in pairs] == ["thread.run.step.delta", "thread.run.requires_action"]
    calls = pairs[0][1]["delta"]["step_details"]["tool_calls"]
    assert calls[1] == {
        "index": 1,
        "id": "call_b",
        "type": "function",
        "function": {"name": "time", "arguments": '{"zone": "CET"}', "output": None},
    }


def test_sends_nothing_for_what_began_before_the_stream() -> None:
    history = plain()
    end = next(event.seq for event in history.run.events if event.type == "thread.message.completed")
    assert texts(Sequence("run_1", after=end - 1).absorb(history.run)) == []


def test_sends_no_garbage_where_the_text_is_another(caplog: pytest.LogCaptureFixture) -> None:
    history = plain()
    end = next(frame for frame in history.frames if frame.event == "thread.message.completed")
    other = {"type": "text", "text": {"value": "Something else", "annotations": []}}
    frames = [
        frame._replace(data={**frame.data, "content": [other]}) if frame is end else frame
        for frame in history.frames
    ]
    pairs = feed(Sequence("run_1", after=0), *frames)
    assert texts(pairs) == ["Hel", "lo ", "wor", "ld"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_ends_at_once_where_nothing_can_follow() -> None:
    run = plain().run
    sequence = Sequence("run_1", after=len(run.events))
    assert sequence.absorb(run) == []
    assert sequence.ended


def test_holds_a_bounded_number_of_frames() -> None:
    frame = next(frame for frame in plain().frames if frame.n)
    sequence = Sequence("run_1", after=0)
    for n in range(2, 3 * MAX_HELD):
        sequence.take(frame._replace(n=n, upto=n))
        sequence.take(frame._replace(n=0, seq=n + 100))
    assert len(sequence._deltas) + len(sequence._events) <= 2 * MAX_HELD


def test_ignores_the_frames_of_another_run() -> None:
    assert feed(Sequence("run_2", after=0), *plain().frames) == []


def test_the_scripts_count_their_deltas() -> None:
    for script in SCRIPTS.values():
        places = [(frame.seq, frame.n) for frame in script().frames if frame.epoch < 2 and not frame.source]
        assert all(a < b for a, b in pairwise(places)) or script is cancelled


def logs(pairs: list[Named]) -> list[str]:
    outputs = [
        output
        for name, data in pairs
        if name == "thread.run.step.delta"
        for call in data["delta"]["step_details"]["tool_calls"]
        for output in call.get("code_interpreter", {}).get("outputs", ())
    ]
    return [output["logs"] for output in outputs if output["type"] == "logs"]


def test_what_code_prints_is_told_at_once_and_only_once() -> None:
    history = with_code("4", "2\n")
    assert logs(feed(Sequence("run_1", after=0), *history.frames)) == ["4", "2\n"]


def test_a_lost_print_is_told_with_the_end_of_the_step_and_none_that_follows_it_before() -> None:
    history = with_code("4", "2", "\n")
    lost = next(frame for frame in history.frames if frame.source and frame.n == 2)
    pairs = feed(Sequence("run_1", after=0), *(frame for frame in history.frames if frame is not lost))
    assert logs(pairs) == ["4", "2\n"]
    check(pairs, history.run)


def test_prints_of_another_attempt_of_another_step_too_early_or_too_late_are_not_told() -> None:
    history = with_code("4")
    live = next(frame for frame in history.frames if frame.source)
    place = history.frames.index(live)
    again = live._replace(epoch=2)
    elsewhere = live._replace(source="call_x", data={**live.data, "id": "step_x"})
    frames = [live, *history.frames[: place + 1], again, elsewhere, *history.frames[place + 1 :], live]
    pairs = feed(Sequence("run_1", after=0), *frames)
    assert logs(pairs) == ["4", "2\n"]
    check(pairs, history.run)
