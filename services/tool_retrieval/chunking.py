"""Cuts a text for the index. Pure: no clock, no I/O.

Two sizes. A *window* is what is indexed: some 160 tokens that end where a sentence or a line does,
so that one vector stands for one thing. A *chunk* is what a search returns: the client's size and
overlap, to the token. All places are code points.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

WINDOW_TOKENS = 160
SHORTEST = 0.5  # of a window: how early it may end for a better end
LONGEST = 1.25  # of a window: a last one may be so long, rather than leave a stub
ENDS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?]['\")\]]*\s|[\u3002\uff01\uff1f]"),
    re.compile(r"\s"),
)
HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
LONGEST_HEADING = 120

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """``chunks`` are those that hold it, the one that holds most of it most centrally first; two at most."""

    start: int
    end: int
    chunks: tuple[Span, ...]
    heading: str = ""  # of the section it is in, from the outermost on


def chunks_of(ends: Sequence[int], size: int, overlap: int) -> list[Span]:
    """Return the chunks, of ``size`` tokens each but the last, as places in the text.

    ``ends`` are those of the tokens; ``overlap`` is at most half of ``size``.
    """
    step, count, found = size - overlap, len(ends), []
    for first in range(0, count, step):
        last = min(first + size, count)
        found.append((ends[first - 1] if first else 0, ends[last - 1]))
        if last == count:
            break
    return found


def windows_of(
    text: str, ends: Sequence[int], *, size: int, overlap: int, headings: bool = False
) -> list[Window]:
    """Return the windows of ``text``, which together are all of it but for white space between them."""
    chunks = chunks_of(ends, size, overlap)
    starts = [start for start, _ in chunks]
    paths = list(_paths(text)) if headings else []
    places = [place for place, _ in paths]
    found = []
    for start, end in _spans(text, ends, size, size - overlap):
        found.append(Window(start, end, _home(chunks, starts, start, end), _path(paths, places, start)))
    return found


def halves(text: str, window: Window) -> tuple[Window, ...]:
    """Cut a window that is too long for an embedder in two, at white space if there is some."""
    middle = (window.start + window.end) // 2
    spaces = [match.end() for match in re.finditer(r"\s+", text[window.start : window.end])]
    inside = [window.start + place for place in spaces if 0 < place < window.end - window.start]
    cut = min(inside, key=lambda place: abs(place - middle), default=middle)
    if not window.start < cut < window.end:
        return (window,)
    if min(cut - window.start, window.end - cut) * 4 < window.end - window.start:
        cut = middle
    return (
        Window(window.start, cut, window.chunks, window.heading),
        Window(cut, window.end, window.chunks, window.heading),
    )


def _spans(text: str, ends: Sequence[int], size: int, step: int) -> Iterator[Span]:
    """Yield the windows; each ends with the last chunk that holds its beginning, or before."""
    token, start, count = 0, 0, len(ends)
    while token < count:
        whole = min(count, token // step * step + size)
        if count - token <= WINDOW_TOKENS * LONGEST and whole == count:
            end, token = ends[-1], count
        else:
            latest = min(token + WINDOW_TOKENS, whole)
            earliest = token + int((latest - token) * SHORTEST)
            end = _good_end(text, ends[earliest], ends[latest - 1])
            token = bisect_right(ends, end)  # one that is cut counts for the next window
        if piece := text[start:end].strip():
            first = start + text[start:end].index(piece[0])
            yield first, first + len(piece)
        start = end


def _good_end(text: str, first: int, last: int) -> int:
    """Return where a window ends best, not before ``first`` and not after ``last``."""
    part = text[first:last]
    for kind in ENDS:
        found = [match.end() for match in kind.finditer(part)]
        if found:
            return first + found[-1]
    return last


def _home(chunks: Sequence[Span], starts: Sequence[int], start: int, end: int) -> tuple[Span, ...]:
    last = bisect_right(starts, end - 1)
    near = [chunk for chunk in chunks[max(0, last - 4) : last] if chunk[1] > start]

    def fit(chunk: Span) -> tuple[int, int]:
        covered = min(end, chunk[1]) - max(start, chunk[0])
        return covered, min(start - chunk[0], chunk[1] - end)

    return tuple(sorted(near, key=fit, reverse=True)[:2])


def _paths(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each heading begins, with the headings that are in force from there on."""
    path: list[tuple[int, str]] = []
    for match in HEADING.finditer(text):
        level = len(match[1])
        path = [outer for outer in path if outer[0] < level]
        path.append((level, match[2].strip()[:LONGEST_HEADING]))
        yield match.start(), " > ".join(name for _, name in path)


def _path(paths: Sequence[tuple[int, str]], places: Sequence[int], start: int) -> str:
    found = bisect_right(places, start)
    return paths[found - 1][1] if found else ""
