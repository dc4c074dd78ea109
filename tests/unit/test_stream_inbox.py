"""The bounded queue of a stream, and what a slow client gets."""

from services.gateway.stream.frames import Arrived
from services.gateway.stream.inbox import Inbox
from services.gateway.stream.sequence import Sequence
from tests.unit.stream_history import History, check


def text(n: int, value: str = "x", *, item_id: str = "msg_1", **more: object) -> Arrived:
    content = [{"index": 0, "type": "text", "text": {"value": value, **more}}]
    data = {"id": item_id, "object": "thread.message.delta", "delta": {"content": content}}
    return Arrived("run_1", 1, 7, n, n, "thread.message.delta", data)


def event(seq: int) -> Arrived:
    return Arrived("run_1", 1, seq, 0, 0, "thread.message.created", {"id": "msg_1"})


def drain(inbox: Inbox) -> list[Arrived]:
    return list(iter(inbox.pop, None))


def values(frames: list[Arrived]) -> list[str]:
    return [frame.data["delta"]["content"][0]["text"]["value"] for frame in frames if frame.n]


async def test_keeps_frames_apart_while_there_is_room() -> None:
    inbox = Inbox(max_frames=10)
    for n in range(1, 5):
        inbox.put(text(n), 300)
    assert values(drain(inbox)) == ["x"] * 4


async def test_merges_text_above_half() -> None:
    inbox = Inbox(max_frames=4)
    for n, value in enumerate("abcdef", 1):
        inbox.put(text(n, value), 300)
    frames = drain(inbox)
    assert values(frames) == ["a", "bcdef"]
    assert [(frame.n, frame.upto) for frame in frames] == [(1, 1), (2, 6)]
    assert not inbox.overflowed


async def test_merging_leaves_the_frames_as_they_were() -> None:
    first = text(1, "a", annotations=[])
    inbox = Inbox(max_frames=2)
    inbox.put(first, 300)
    inbox.put(text(2, "b"), 300)
    assert values([first]) == ["a"]
    (both,) = drain(inbox)
    assert both.data["delta"]["content"][0]["text"] == {"value": "ab", "annotations": []}


async def test_merges_neighbours_only() -> None:
    inbox = Inbox(max_frames=5)
    for frame in (text(1), text(2), text(3), text(5), text(6, annotations=[{"index": 0}]), text(7)):
        inbox.put(frame, 300)
    assert [(frame.n, frame.upto) for frame in drain(inbox)] == [(1, 3), (5, 5), (6, 7)]


async def test_drops_deltas_but_no_events_when_full() -> None:
    inbox = Inbox(max_frames=100, max_bytes=4_000)
    inbox.put(event(6), 300)
    for n in range(1, 30, 2):  # never neighbours
        inbox.put(text(n), 300)
    assert inbox.overflowed
    frames = drain(inbox)
    assert frames[0] == event(6)
    assert len(frames) < 13


async def test_never_holds_more_than_its_bounds() -> None:
    inbox = Inbox(max_frames=50, max_bytes=20_000)
    for n in range(1, 2_000):
        inbox.put(event(n) if n % 7 == 0 else text(n), 900)
        assert len(inbox) <= 50
        assert inbox._bytes <= 20_000


async def test_a_slow_client_still_gets_whole_sums() -> None:
    history = History()
    history.claim()
    words = [f"word{i} " for i in range(200)]
    history.write(*words)
    history.answer("".join(words))
    inbox, sequence, pairs = Inbox(max_frames=16, max_bytes=4_000), Sequence("run_1", after=0), []
    for i, frame in enumerate(history.frames):
        inbox.put(frame, 300)
        if i % 40 == 0:
            pairs += [pair for frame in drain(inbox) for pair in sequence.take(frame)]
    pairs += sequence.absorb(history.run)
    check(pairs, history.run)
