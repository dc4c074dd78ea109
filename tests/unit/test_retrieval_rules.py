"""How texts are cut, hits are scored, and attributes are compared."""

from itertools import pairwise
from typing import Any

import pytest

from services.tool_retrieval.chunking import WINDOW_TOKENS, Window, chunks_of, halves, windows_of
from services.tool_retrieval.filters import FilterError, matches
from services.tool_retrieval.scoring import DOUBT, FULL_MARKS, score, words_of
from shared.tokenizer import count_tokens, token_ends

PROSE = " ".join(
    f"Sentence number {n} tells of the fox and of the {n % 7} dogs that it met." for n in range(400)
)


def test_chunks_have_the_size_and_the_overlap_that_was_asked_for() -> None:
    ends = token_ends(PROSE)
    chunks = chunks_of(ends, 100, 40)
    assert chunks[0] == (0, ends[99])
    assert chunks[1] == (ends[59], ends[159])
    assert chunks[-1][1] == len(PROSE)
    assert chunks[-2][1] < len(PROSE)
    assert chunks_of(ends[:50], 100, 40) == [(0, ends[49])]
    assert chunks_of([], 100, 40) == []


@pytest.mark.parametrize(("size", "overlap"), [(800, 400), (100, 0), (100, 50), (4096, 0)])
def test_windows_hold_the_whole_text_and_lie_in_a_chunk(size: int, overlap: int) -> None:
    windows = windows_of(PROSE, token_ends(PROSE), size=size, overlap=overlap)
    assert "".join(PROSE[w.start : w.end] for w in windows).replace(" ", "") == PROSE.replace(" ", "")
    for window in windows:
        text = PROSE[window.start : window.end]
        assert count_tokens(text) <= WINDOW_TOKENS * 1.25 + 2
        assert text.endswith(".") or size == 100 or not overlap
        home = window.chunks[0]
        assert home[0] <= window.start
        assert window.end <= home[1]


@pytest.mark.parametrize("text", ["", "a", "\n\n", "x" * 5000, "数据库。" * 2000, "\n".join("ab" * 3000)])
def test_any_text_can_be_cut(text: str) -> None:
    windows = windows_of(text, token_ends(text), size=800, overlap=400, headings=True)
    joined = "".join(text[w.start : w.end] for w in windows)
    assert "".join(joined.split()) == "".join(text.split())
    assert all(one.end <= two.start for one, two in pairwise(windows))


def test_a_window_knows_the_headings_above_it() -> None:
    text = f"# Animals\n\nIntro.\n\n## Foxes\n\n{PROSE}\n\n# Plants\n\n{PROSE}"
    windows = windows_of(text, token_ends(text), size=800, overlap=400, headings=True)
    of = {window.heading for window in windows}
    assert {"Animals > Foxes", "Plants"} <= of


def test_a_window_that_is_too_long_is_cut_where_there_is_space() -> None:
    window = Window(0, 21, ((0, 30),), "h")
    one, two = halves("aaaaaaaaaa bbbbbbbbbb", window)
    assert (one.start, one.end, two.start, two.end) == (0, 11, 11, 21)
    assert (one.chunks, two.heading) == (window.chunks, "h")
    assert [each.end for each in halves("a" * 20, Window(0, 20, ((0, 20),)))] == [10, 20]
    assert halves("a", Window(0, 1, ((0, 1),))) == (Window(0, 1, ((0, 1),)),)


def test_a_score_is_half_meaning_and_half_words() -> None:
    assert score(1.0, (2 + DOUBT) * FULL_MARKS, 2) == 1.0
    assert score(0.5, 0.0, 2) == 0.25
    assert score(-0.5, 0.0, 2) == 0.0
    assert score(0.0, 99.0, 2) == 0.5
    assert score(None, (2 + DOUBT) * FULL_MARKS / 2, 2) == 0.5
    assert score(None, 0.0, 0) == 0.0
    assert score(0.8, 0.0, 1, {"embedding_weight": 1, "text_weight": 0}) == 0.8
    assert score(0.8, 99.0, 1, {"embedding_weight": 0, "text_weight": 0}) == 0.9
    assert words_of("What is the fox of the FOX?") == {"what", "fox"}


def test_one_rare_word_that_happens_to_be_there_is_worth_little() -> None:
    rare = 15.0  # about the most BM25 that one word can get among 10,000 windows
    for words in (1, 2, 3):
        foreign = score(0.2, rare, words)
        own = score(0.6, 2 * FULL_MARKS * words, words)
        assert foreign < 0.5, words
        assert own > foreign, words


FILE = {"year": 2001, "lang": "de", "draft": False, "price": 2.5}


@pytest.mark.parametrize(
    ("kind", "key", "value", "passes"),
    [
        ("eq", "year", 2001, True),
        ("eq", "year", 2001.0, True),
        ("eq", "year", "2001", False),
        ("eq", "draft", False, True),
        ("eq", "draft", 0, False),
        ("ne", "year", 2001, False),
        ("ne", "none", 1, True),
        ("gt", "year", 2000, True),
        ("gte", "year", 2001, True),
        ("lt", "price", 2.5, False),
        ("lte", "price", 2.5, True),
        ("gt", "lang", "aa", True),
        ("gt", "lang", 1, False),
        ("gt", "none", 1, False),
        ("in", "lang", ["en", "de"], True),
        ("in", "none", ["en"], False),
        ("nin", "lang", ["en"], True),
        ("nin", "none", ["en"], True),
    ],
)
def test_a_filter_compares(kind: str, key: str, value: Any, passes: bool) -> None:
    assert matches({"type": kind, "key": key, "value": value}, FILE) is passes


def test_filters_are_joined() -> None:
    right, wrong = ({"type": "eq", "key": "year", "value": year} for year in (2001, 1999))
    assert matches({"type": "and", "filters": [right, right]}, FILE)
    assert not matches({"type": "and", "filters": [right, wrong]}, FILE)
    assert matches({"type": "or", "filters": [wrong, {"type": "and", "filters": [right]}]}, FILE)


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        {"type": "like", "key": "a", "value": 1},
        {"type": "eq", "value": 1},
        {"type": "in", "key": "a", "value": 1},
        {"type": "and", "filters": 1},
        {"type": "or", "filters": [1]},
    ],
)
def test_what_is_no_filter_is_refused(filter_: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        matches(filter_, FILE)


def test_a_filter_is_not_nested_for_ever() -> None:
    filter_: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(30):
        filter_ = {"type": "and", "filters": [filter_]}
    with pytest.raises(FilterError, match="deeply"):
        matches(filter_, FILE)
