"""A client that comes back with the last id it saw: no gap, no repeat, and sums that are right."""

from collections.abc import Callable, Iterator

import pytest

from services.gateway.stream.places import Place, open_at, place
from services.gateway.stream.sequence import Sequence
from shared.runs.model import Json
from shared.runs.views import Named
from tests.unit.stream_history import (
    History,
    cancelled,
    check,
    cut_short,
    functions,
    plain,
    taken_over,
    with_code,
)

HISTORIES: dict[str, Callable[[], History]] = {
    "plain": plain,
    "code": with_code,
    "code that prints": lambda: with_code("4", "2\n"),
    "functions": functions,
    "mixed": lambda: functions(mixed=True),
    "cut short": cut_short,
    "cancelled": cancelled,
}
Told = tuple[str, Named]


def begin(history: History, last: str) -> Sequence:
    """A stream that goes on behind the id ``last``, as a gateway begins it with the store at its end."""
    known = place(last)
    sequence = Sequence(history.run.id, after=known.seq, to_end=True)
    sequence.resume(history.run, known.known)
    return sequence


def told(sequence: Sequence, pairs: list[Named]) -> Iterator[Told]:
    assert len(sequence.places) == len(pairs)
    yield from zip(sequence.places, pairs, strict=True)


def live(history: History) -> list[Told]:
    sequence = begin(history, "0")
    found = [each for frame in history.frames for each in told(sequence, sequence.take(frame))]
    return found + list(told(sequence, sequence.absorb(history.run)))


@pytest.mark.parametrize("name", HISTORIES)
def test_from_any_id_on_the_store_tells_the_rest(name: str) -> None:
    history = HISTORIES[name]()
    seen = live(history)
    check([pair for _, pair in seen], history.run)
    for upto, (last, _) in enumerate(seen, 1):
        sequence = begin(history, last)
        rest = sequence.absorb(history.run)
        check([pair for _, pair in seen[:upto]] + rest, history.run)
    assert sequence.ended == history.run.ended


@pytest.mark.parametrize("name", HISTORIES)
def test_from_any_id_on_twice_in_a_row(name: str) -> None:
    """What is sent to mend a sum has ids that are right, too."""
    history = HISTORIES[name]()
    seen = live(history)
    for upto, (last, _) in enumerate(seen, 1):
        sequence = begin(history, last)
        second = list(told(sequence, sequence.absorb(history.run)))
        for upto_2, (last_2, _) in enumerate(second, 1):
            third = begin(history, last_2).absorb(history.run)
            pairs = [pair for _, pair in seen[:upto] + second[:upto_2]]
            check(pairs + third, history.run)


def texts(pairs: list[Named]) -> list[str]:
    return [
        part["text"]["value"]
        for name, data in pairs
        if name == "thread.message.delta"
        for part in data["delta"]["content"]
    ]


def late(history: History, last: str, n: int) -> tuple[Sequence, list[Named]]:
    """Join while the message is written, ``n`` deltas of which were sent; get the rest live."""
    written = [frame for frame in history.frames if frame.n]
    at = history.frames.index(written[n - 1])
    sequence = begin(history, last)
    pairs = sequence.absorb(history.stored[at])
    text = "".join(each.data["delta"]["content"][0]["text"]["value"] for each in written[:n])
    part: Json = {"index": 0, "type": "text", "text": {"value": text, "annotations": []}}
    data = {**written[0].data, "delta": {"content": [part]}}
    pairs += sequence.take(written[n - 1]._replace(n=n, upto=n, data=data, whole=True))
    for frame in history.frames[at + 1 :]:
        pairs += sequence.take(frame)
    return sequence, pairs


def test_who_joins_late_gets_the_text_so_far_as_one_delta_and_the_rest_as_it_comes() -> None:
    history = plain()
    _, pairs = late(history, "0", 2)
    check(pairs, history.run)
    assert texts(pairs) == ["Hello ", "wor", "ld"]


def test_who_comes_back_gets_only_what_is_new_of_the_text_so_far() -> None:
    history = plain()
    begun = [(last, pair) for last, pair in live(history) if pair[0] == "thread.message.delta"]
    last = begun[0][0]
    assert last == "7;content.0.text.value=3"
    _, pairs = late(history, last, 3)
    assert texts(pairs) == ["lo wor", "ld"]


def test_a_delta_that_came_before_the_text_so_far_is_no_loss() -> None:
    history = plain()
    written = [frame for frame in history.frames if frame.n]
    sequence = begin(history, "0")
    sequence.absorb(history.stored[history.frames.index(written[2])])
    assert sequence.take(written[2]) == []
    sequence.give_up()
    part: Json = {"index": 0, "type": "text", "text": {"value": "Hello wor", "annotations": []}}
    data = {**written[0].data, "delta": {"content": [part]}}
    whole = written[2]._replace(data=data, whole=True)
    assert texts(sequence.take(whole)) == ["Hello wor"]
    assert sequence.take(whole) == []
    assert texts(sequence.take(written[3])) == ["ld"]


def test_a_draft_that_was_withdrawn_meanwhile_ends_and_another_one_begins() -> None:
    history = taken_over()
    seen = live(history)
    last = next(last for last, (_, data) in seen if data["object"] == "thread.message.delta")
    upto = [each for each, _ in seen].index(last) + 1
    rest = begin(history, last).absorb(history.run)
    check([pair for _, pair in seen[:upto]] + rest, history.run)
    assert texts(rest) == ["Good day"]


def test_it_goes_on_behind_a_call_for_action() -> None:
    history = functions()
    sequence = begin(history, "0")
    assert sequence.absorb(history.run)[-1][0] == "thread.run.requires_action"
    assert not sequence.ended


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1;", "1;a", "1;a=", "1;a=-1", "1;A=1", "1 ;a=1", "1;a=1" * 1000, "9" * 10]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        place(text)


@pytest.mark.parametrize("text", ["7", "7;content.0.text.value=42", "7;step_details.tool_calls.0.id=9"])
def test_a_place_is_told_and_read_alike(text: str) -> None:
    assert str(place(text)) == text


def test_what_makes_no_sense_is_left_out() -> None:
    history = plain()
    for odd in (
        "7;content=3",
        "7;a.b=1;a=2;a.b.c=3",
        "7;content.0.text.value=999",
        "2;content.0.text.value=3",
    ):
        assert begin(history, odd).absorb(history.run)[-1][0] == "thread.run.completed"
    assert open_at(history.run, 2) == ("", False)
    assert Place(2, {}) == place("2")
