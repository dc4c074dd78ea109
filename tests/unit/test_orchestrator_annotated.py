"""Markers in what the model writes: kept where they refer to something, and then annotated."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from services.run_orchestrator.annotated import AnnotatedText, Shown
from shared.runs.model import Json

FIRST, SECOND = "【4:0†a.txt】", "【4:1†b 😀.md】"
SOURCES: dict[str, Json] = {
    FIRST: {"file_id": "file-a", "quote": "The sky is blue."},
    SECOND: {"file_id": "file-b", "quote": ""},
}
FILES = {"out.csv": "file-c"}
UNKNOWN = "【4:2†a.txt】"
LINK = "sandbox:/mnt/data/out.csv"
MIXED = f"😀 Blue{FIRST}. See [it]({LINK}){SECOND}{FIRST}, {UNKNOWN}【注意】【 {LINK}!"


def read(
    pieces: Iterable[str], sources: dict[str, Json] | None = SOURCES
) -> tuple[AnnotatedText, list[Shown]]:
    text = AnnotatedText(sources, FILES)
    shown = [each for piece in pieces for each in text.feed(piece)]
    return text, shown + text.finish()


def summed(shown: Iterable[Shown]) -> tuple[str, list[Json]]:
    """What a reader adds up; the annotations must come in the order of their indexes."""
    shown = list(shown)
    annotations = [each for piece in shown for each in piece.annotations]
    assert [each["index"] for each in annotations] == list(range(len(annotations)))
    return "".join(piece.text for piece in shown), annotations


def check(text: AnnotatedText) -> None:
    places = [(each["start_index"], each["end_index"]) for each in text.annotations]
    assert all(before[1] <= behind[0] for before, behind in pairwise(places))
    for each in text.annotations:
        assert text.value[each["start_index"] : each["end_index"]] == each["text"]


def kinds(text: AnnotatedText) -> list[tuple[str, str]]:
    return [(each["type"], each["text"]) for each in text.annotations]


EXPECTED = MIXED.replace(UNKNOWN, "")


@pytest.mark.parametrize("at", range(len(MIXED) + 1))
def test_where_the_text_is_split_makes_no_difference(at: int) -> None:
    text, shown = read([MIXED[:at], MIXED[at:]])
    check(text)
    assert text.value == EXPECTED
    assert kinds(text) == [
        ("file_citation", FIRST),
        ("file_path", LINK),
        ("file_citation", SECOND),
        ("file_citation", FIRST),
        ("file_path", LINK),
    ]
    value, streamed = summed(shown)
    assert value == EXPECTED
    assert [{"index": n, **each} for n, each in enumerate(text.annotations)][: len(streamed)] == streamed
    assert len(streamed) == 4  # the last link is told with the end of the message


def test_a_character_at_a_time() -> None:
    text, shown = read(MIXED)
    assert text.annotations == read([MIXED])[0].annotations
    assert summed(shown)[0] == EXPECTED


def test_a_citation_comes_in_one_piece_with_its_annotation() -> None:
    _, shown = read(f"Blue{FIRST}.")
    (cited,) = [piece for piece in shown if piece.annotations]
    citation = {"file_id": "file-a", "quote": "The sky is blue."}
    places = {"start_index": 4, "end_index": 4 + len(FIRST)}
    annotation = {"index": 0, "type": "file_citation", "text": FIRST, **places, "file_citation": citation}
    assert cited == Shown(FIRST, (annotation,))


@pytest.mark.parametrize(
    "marker",
    [
        UNKNOWN,
        "【4:0†other.txt】",
        "【99:0†a.txt】",
        "【13†source】",
        f"【4:0†{'x' * 300}】",
        "【04:0†a.txt】",
    ],
)
def test_a_marker_that_refers_to_nothing_is_never_seen(marker: str) -> None:
    for at in range(len(marker) + 1):
        text, shown = read(["Blue", marker[:at], marker[at:], "."])
        assert (text.value, text.annotations) == ("Blue.", [])
        assert summed(shown) == ("Blue.", [])


@pytest.mark.parametrize(
    "said",
    [
        "【注意】 now",
        "【4】",
        "【4:0】",
        "【4:】",
        "【:0†a】",
        "【4:0†a\nb】",
        "【 4:0†a.txt】",
        "【†a】",
        f"【4:0†{'x' * 301}】",
        "【【4",
        "【",
        "【12",
        "【12:",
        "[4:0†a.txt]",
        "【1234567890:0†a】",
    ],
)
def test_what_is_no_marker_stays(said: str) -> None:
    for at in range(len(said) + 1):
        text, shown = read([said[:at], said[at:]])
        assert text.value == said
        assert summed(shown)[0] == said


def test_a_marker_may_follow_what_looked_like_one() -> None:
    for at in range(20):
        said = f"【4:0†a.【4{FIRST}"
        text, _ = read([said[:at], said[at:]])
        assert text.value == said
        assert kinds(text) == [("file_citation", FIRST)]


def test_no_more_is_held_back_than_may_be_a_marker() -> None:
    text = AnnotatedText(SOURCES, {})
    assert text.feed("Blue 【") == [Shown("Blue ")]
    assert text.feed("4:0†a") == []
    assert text.feed("\n") == [Shown("【"), Shown("4:0†a\n")]


@pytest.mark.parametrize(
    ("said", "left"), [("Blue【4:0†a.t", "Blue"), ("Blue【4:0", "Blue【4:0"), ("【4:0†", "")]
)
def test_a_marker_that_is_broken_off_is_left_out(said: str, left: str) -> None:
    assert read([said])[0].value == left


def test_a_text_whose_model_knows_no_markers_stays_as_it_is() -> None:
    text, shown = read([f"{FIRST}【", UNKNOWN], None)
    assert text.value == f"{FIRST}【{UNKNOWN}"
    assert (text.annotations, shown[0]) == ([], Shown(f"{FIRST}【"))


def test_links_and_citations_keep_the_order_of_the_text() -> None:
    text, shown = read([f"{LINK} {FIRST} {LINK}"])
    check(text)
    assert [kind for kind, _ in kinds(text)] == ["file_path", "file_citation", "file_path"]
    (cited,) = [piece for piece in shown if piece.annotations]
    assert [(each["index"], each["type"]) for each in cited.annotations] == [
        (0, "file_path"),
        (1, "file_citation"),
    ]
