"""A search: every query in every store by words and by meaning, what counts of it, and its text.

The index proposes, MongoDB decides: a window counts if its file is in the store now, and if it is of the
generation that is shown.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.tool_retrieval.chunking import Span, Window
from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.embedding.embedder import EmbedderError, Vectors
from services.tool_retrieval.filters import matches
from services.tool_retrieval.index.index import Hit, Index, Table
from services.tool_retrieval.reranker import Reranker, best_scores
from services.tool_retrieval.scoring import score, words_of
from services.tool_retrieval.tables import TableStore
from shared import clock
from shared.events import SearchRequested
from shared.files.parsed import ParsedFile, ParsedFiles
from shared.runs.model import Json
from shared.stores.database import Document
from shared.stores.vector_stores import VectorStores
from shared.tokenizer import count_tokens

log = logging.getLogger(__name__)

CANDIDATES = 100  # of each query, by words and by vector each
MOST_CANDIDATES = 1600
MOST_NAMED = (
    1000  # files that a filter may be turned into; of more, what does not pass is left out afterwards
)
GROWTH = 4
RERANKED = 50  # chunks; no search returns more

Place: TypeAlias = tuple[str, int, int, int]


@dataclass(frozen=True)
class Found:
    """A hit, whose it is, and what it is worth."""

    file: Document
    hit: Hit
    score: float


class Searches:
    def __init__(
        self,
        stores: VectorStores,
        claims: FileClaims,
        tables: TableStore,
        parsed: ParsedFiles,
        embedding: Embedding,
        index: Index,
        reranker: Reranker | None = None,
    ) -> None:
        self._stores = stores
        self._claims = claims
        self._tables = tables
        self._parsed = parsed
        self._embedding = embedding
        self._index = index
        self._reranker = reranker

    async def run(self, request: SearchRequested) -> list[Json]:
        """Return the results, best first, as ``search_results`` keeps them.

        Raises:
            FilterError: the filters are none.
            IndexAway: the index is away.
        """
        wanted = dict.fromkeys(request.vector_store_ids)
        stores = await self._stores.searchable(request.project_id, wanted, clock.now())
        if not stores:
            return []
        vectors = await self._vectors(request.queries)
        searched = await asyncio.gather(*(self._store(store, request, vectors) for store in stores))
        reranker = self._reranker if request.ranker != "none" else None
        least, most = (0.0, RERANKED) if reranker else (request.score_threshold, request.max_num_results)
        found = [each for part in searched for each in part if each.score >= least]
        found.sort(key=lambda each: (-each.score, each.file["_id"], each.hit.window.start))
        results = await self._results(found, most)
        if reranker:
            results = await _reranked(reranker, request.queries, results)
            results = [each for each in results if each["score"] >= request.score_threshold]
        return await _within(results[: request.max_num_results], request.token_budget)

    async def _vectors(self, queries: tuple[str, ...]) -> Vectors | None:
        embedder = await self._embedding.get()
        if embedder is None:
            return None
        try:
            return await embedder.embed(queries, "query")
        except EmbedderError as error:
            log.warning("searching by keywords alone", extra={"reason": str(error)})
            return None

    async def _store(self, store: str, request: SearchRequested, vectors: Vectors | None) -> list[Found]:
        passing = None
        if request.filters:
            attributes = await self._claims.attributes(store)
            passing = {name for name, each in attributes.items() if matches(request.filters, each)}
            if not passing:
                return []
        only = passing if passing is not None and len(passing) <= MOST_NAMED else None
        tables = await self._tables.of_store(store)
        limit = CANDIDATES
        while True:
            hits, whole = await self._hits(tables, request, vectors, limit, only)
            found = await self._counting(store, request.project_id, hits, passing)
            if (
                whole
                or limit >= MOST_CANDIDATES
                or len(found) >= min(limit, request.max_num_results * GROWTH)
            ):
                return found
            limit *= GROWTH

    async def _hits(
        self,
        tables: list[Table],
        request: SearchRequested,
        vectors: Vectors | None,
        limit: int,
        only: Collection[str] | None,
    ) -> tuple[dict[Place, tuple[Hit, float]], bool]:
        """Return the best score of each window, and whether there are no more of them than these."""
        embedder = await self._embedding.get()
        best: dict[Place, tuple[Hit, float]] = {}
        whole = True
        for table in tables:
            ours = embedder is not None and (embedder.id, embedder.dim) == (table.embedder, table.dim)
            per_query = await asyncio.gather(
                *(
                    self._index.search(
                        table,
                        query,
                        vectors[number] if ours and vectors is not None else None,
                        limit=limit,
                        file_ids=only,
                    )
                    for number, query in enumerate(request.queries)
                )
            )
            for query, hits in zip(request.queries, per_query, strict=True):
                whole = whole and len(hits) < limit
                words = len(words_of(query))
                for hit in hits:
                    place = (hit.file_id, hit.gen, hit.window.start, hit.window.end)
                    value = score(hit.cosine, hit.bm25, words, request.hybrid)
                    if place not in best or best[place][1] < value:
                        best[place] = (hit, value)
        return best, whole

    async def _counting(
        self,
        store: str,
        project_id: str,
        hits: dict[Place, tuple[Hit, float]],
        passing: Collection[str] | None,
    ) -> list[Found]:
        names = {
            f"{store}:{hit.file_id}" for hit, _ in hits.values() if passing is None or hit.file_id in passing
        }
        files = await self._claims.many(project_id, sorted(names))
        found = []
        for hit, value in hits.values():
            file = files.get(f"{store}:{hit.file_id}")
            if file is not None and file["active_gen"] == hit.gen:
                found.append(Found(file, hit, value))
        return found

    async def _results(self, found: Sequence[Found], most: int) -> list[Json]:
        """Return chunks that do not overlap, each for the best of its windows."""
        while True:
            chosen = _chosen(found, most)
            files = await self._parsed.many({each.hit.file_id for each, _ in chosen})
            texts = await self._parsed.passages([(each.hit.file_id, *span) for each, span in chosen])
            results, gone = [], set()
            for (each, span), text in zip(chosen, texts, strict=True):
                file = files.get(each.hit.file_id)
                if file is None or text is None:
                    gone.add(each.hit.file_id)
                else:
                    results.append(_result(each, span, file, text))
            if not gone:
                return results
            found = [each for each in found if each.hit.file_id not in gone]  # deleted just now


def _chosen(found: Sequence[Found], most: int) -> list[tuple[Found, Span]]:
    """Return what to show, best first, and which chunk of it."""
    taken: dict[str, list[Span]] = {}
    chosen: list[tuple[Found, Span]] = []
    for each in found:
        if len(chosen) >= most:
            break
        others = taken.setdefault(each.hit.file_id, [])
        if (span := free_chunk(each.hit.window, others)) is not None:
            others.append(span)
            chosen.append((each, span))
    return chosen


def _result(found: Found, span: Span, file: ParsedFile, text: str) -> Json:
    start, end = span
    window = found.hit.window
    return {
        "file_id": found.hit.file_id,
        "file_name": found.file["filename"],
        "vector_store_id": found.file["vector_store_id"],
        "score": round(found.score, 6),
        "attributes": found.file["attributes"] or {},
        "text": text,
        "quote": text[max(window.start - start, 0) : max(window.end - start, 0)],
        "pages": file.pages_of(start, end),
        "char_start": start,
        "char_end": end,
    }


async def _reranked(reranker: Reranker, queries: Sequence[str], results: list[Json]) -> list[Json]:
    """Return the results in the reranker's order, with its scores; as they are if it cannot say."""
    scores = await best_scores(reranker, queries, [each["quote"] for each in results])
    if scores is None:
        return results
    ranked = [{**each, "score": round(score, 6)} for each, score in zip(results, scores, strict=True)]
    return sorted(ranked, key=lambda each: -each["score"])


async def _within(results: list[Json], budget: int | None) -> list[Json]:
    """Return the results before the first whose text does not fit into the tokens."""
    if budget is None:
        return results
    for place, each in enumerate(results):
        budget -= await asyncio.to_thread(count_tokens, each["text"])
        if budget < 0:
            return results[:place]
    return results


def free_chunk(window: Window, taken: Sequence[Span]) -> Span | None:
    """Return the chunk to show of ``window``; None if ``taken`` show it, or overlap all of its chunks."""
    if any(start <= window.start and window.end <= end for start, end in taken):
        return None
    return next((span for span in window.chunks if not any(_overlap(span, each) for each in taken)), None)


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
