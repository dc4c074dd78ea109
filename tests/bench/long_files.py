"""Several texts of a collection in one file: whether the chunks that are shown hold those that answer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.tool_retrieval.chunking import Span
from services.tool_retrieval.index.index import Hit
from services.tool_retrieval.searches import free_chunk
from tests.bench.collection import Collection

BETWEEN = "\n\n"


@dataclass(frozen=True)
class LongFiles:
    files: Mapping[str, str]
    places: Mapping[str, Mapping[str, Span]]  # file -> text -> where it is in the file


def joined(collection: Collection, size: int) -> LongFiles:
    """Files of ``size`` texts each, in the order of the collection."""
    texts = list(collection.texts.items())
    files, places = {}, {}
    for start in range(0, len(texts), size):
        part, at, where = texts[start : start + size], 0, {}
        for name, text in part:
            where[name] = (at, at + len(text))
            at += len(text) + len(BETWEEN)
        files[f"file-{start}"] = BETWEEN.join(text for _, text in part)
        places[f"file-{start}"] = where
    return LongFiles(files, places)


def shown(hits: Iterable[tuple[Hit, float]], most: int) -> list[tuple[str, Span]]:
    """The chunks of the best hits, as a search returns them."""
    taken: dict[str, list[Span]] = {}
    found: list[tuple[str, Span]] = []
    for hit, _ in sorted(hits, key=lambda each: (-each[1], each[0].file_id, each[0].window.start)):
        span = free_chunk(hit.window, taken.setdefault(hit.file_id, []))
        if span is not None:
            taken[hit.file_id].append(span)
            found.append((hit.file_id, span))
        if len(found) == most:
            break
    return found


def worth(
    chunks: Sequence[tuple[str, Span]], where: LongFiles, judged: Mapping[str, int]
) -> tuple[float, float]:
    """Return nDCG@10, of texts when a chunk first holds half of them, and their recall@5."""
    seen: set[str] = set()
    gained, early = 0.0, 0
    for place, (file, (start, end)) in enumerate(chunks[:10]):
        for text, (first, last) in where.places[file].items():
            held = min(end, last) - max(start, first)
            if text in judged and text not in seen and held * 2 >= last - first:
                seen.add(text)
                gained += judged[text] / math.log2(place + 2)
        if place == 4:
            early = sum(judged[text] > 0 for text in seen)
    if len(chunks) < 5:
        early = sum(judged[text] > 0 for text in seen)
    best = sorted(judged.values(), reverse=True)[:10]
    ideal = sum(grade / math.log2(place + 2) for place, grade in enumerate(best))
    return min(gained / ideal, 1.0), early / sum(grade > 0 for grade in judged.values())
