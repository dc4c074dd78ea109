"""What counts as a frame, and the clock of a stream."""

import json

import pytest

from services.gateway.stream.frames import Unreadable, parse
from services.gateway.stream.pace import Pace
from services.gateway.stream.watch import Watch
from shared.events import Frame

FRAME = Frame(run_id="run_1", epoch=2, seq=3, event="thread.run.queued", data={"id": "run_1"}, streams=("s",))


def test_reads_what_the_publisher_writes() -> None:
    frame, streams = parse(FRAME.model_dump_json().encode())
    assert streams == ["s"]
    assert frame == ("run_1", 2, 3, 0, 0, "thread.run.queued", {"id": "run_1"}, "", False)


@pytest.mark.parametrize(
    "change",
    [{"seq": "3"}, {"seq": True}, {"data": []}, {"streams": "s"}, {"event": None}, {"n": 1, "data": {}}],
    ids=str,
)
def test_refuses_fields_of_the_wrong_type(change: dict[str, object]) -> None:
    body = {**FRAME.model_dump(mode="json"), **change}
    with pytest.raises(Unreadable):
        parse(json.dumps(body).encode())


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"{", b"[]", b"{}", b"7"], ids=str)
def test_refuses_what_is_no_frame(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        parse(value)


def test_looks_into_the_store_after_silence() -> None:
    watch = Watch(Pace(), 100.0)
    watch.heard(103.0)
    assert watch.read_at(live=True, urgent=False) == 108.0
    assert watch.read_at(live=False, urgent=False) == 104.0
    watch.reads(108.0)
    assert watch.read_at(live=True, urgent=False) == 113.0


def test_looks_for_what_is_missing_soon_and_then_less_often() -> None:
    watch = Watch(Pace(), 100.0)
    watch.sees((4, 0), 101.0)
    watch.sees((4, 0), 101.2)
    assert watch.read_at(live=True, urgent=False) == pytest.approx(101.3)
    watch.reads(101.3)
    assert watch.in_vain((4, 0))
    assert watch.read_at(live=True, urgent=False) == pytest.approx(102.3)
    watch.sees((5, 0), 101.4)
    assert not watch.in_vain((5, 0))
    assert watch.read_at(live=True, urgent=False) == pytest.approx(101.7)


def test_does_not_wait_where_only_the_store_can_help() -> None:
    watch = Watch(Pace(), 100.0)
    assert watch.read_at(live=True, urgent=True) <= 100.0
    watch.reads(100.0)
    assert watch.read_at(live=True, urgent=True) == 101.0


def test_pings_after_silence_towards_the_client() -> None:
    watch = Watch(Pace(), 100.0)
    watch.spoke(104.0)
    watch.heard(110.0)
    assert watch.ping_at == 119.0
