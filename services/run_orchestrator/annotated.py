"""What the model writes, as clients get it: with annotations, and without markers that refer to nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.run_orchestrator.shown import links
from shared.runs.model import Json

OPENING = "【"
LONGEST_NAME = 300  # characters; what is longer is no marker
_PLACE = r"[0-9]{1,9}"
_NAME = r"[^【】\n]"
_MARKER = re.compile(rf"【{_PLACE}(?::{_PLACE})?†{_NAME}{{1,{LONGEST_NAME}}}】")
_BEGUN = re.compile(
    rf"【(?:{_PLACE}(?::[0-9]{{0,9}})?|{_PLACE}(?::{_PLACE})?†{_NAME}{{0,{LONGEST_NAME}}})?\Z"
)


class Shown(NamedTuple):
    """The next piece of the text. ``annotations`` are those that end with it, each with its ``index``."""

    text: str
    annotations: tuple[Json, ...] = ()


class AnnotatedText:
    """The text of a message while it grows.

    ``sources`` are the markers that refer to something: marker -> ``file_id`` and ``quote``; any other
    marker is left out. None: the model knows of no markers, and its text stays as it is. ``files`` are
    what ``sandbox:`` links may lead to: path -> id. Places are counted in code points.
    """

    def __init__(self, sources: Mapping[str, Json] | None, files: Mapping[str, str]) -> None:
        self.value = ""
        self._sources = sources
        self._files = files
        self._held = ""  # may turn out to be a marker
        self._settled: list[Json] = []  # up to and with the last citation
        self._settled_upto = 0

    @property
    def annotations(self) -> list[Json]:
        """All of the text so far, in its order."""
        return [*self._settled, *self._links()]

    def feed(self, piece: str) -> list[Shown]:
        """Take the next piece; return what of the text is certain by now."""
        if self._sources is None:
            self.value += piece
            return [Shown(piece)]
        self._held += piece
        return [self._add(*each) for each in self._certain(self._sources)]

    def finish(self) -> list[Shown]:
        """Nothing follows: return what was held back, but for a marker that was broken off."""
        rest, self._held = self._held, ""
        return [self._add(rest, None)] if rest and "†" not in rest else []

    def _certain(self, sources: Mapping[str, Json]) -> Iterator[tuple[str, Json | None]]:
        """Take pieces off what is held: plain text, or a marker with its source."""
        while self._held:
            before, opening, behind = self._held.partition(OPENING)
            if before:
                self._held = opening + behind
                yield before, None
            elif marker := _MARKER.match(self._held):
                self._held = self._held[marker.end() :]
                if source := sources.get(marker[0]):
                    yield marker[0], source
            elif _BEGUN.match(self._held):
                return
            else:
                self._held = behind
                yield opening, None

    def _add(self, text: str, source: Json | None) -> Shown:
        if source is None:
            self.value += text
            return Shown(text)
        told = len(self._settled)
        start = len(self.value)
        self._settled += self._links()  # a reader that adds up wants the annotations in their order
        self.value += text
        self._settled_upto = len(self.value)
        self._settled.append(
            {
                "type": "file_citation",
                "text": text,
                "start_index": start,
                "end_index": self._settled_upto,
                "file_citation": source,
            }
        )
        new = self._settled[told:]
        return Shown(text, tuple({"index": told + place, **each} for place, each in enumerate(new)))

    def _links(self) -> list[Json]:
        """The links behind the last citation."""
        moved = self._settled_upto
        return [
            link | {"start_index": link["start_index"] + moved, "end_index": link["end_index"] + moved}
            for link in links(self.value[moved:], self._files)
        ]
