"""``python -m tests.bench.retrieval FOLDER``: how good and how fast search is, on a judged collection.

FOLDER holds corpus.jsonl, queries.jsonl and qrels.tsv (the form of BEIR). Each text goes through what a
file goes through, from the chunker to the index; each query through the index and the score. What is
left out is MongoDB and Kafka: they change no result.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from services.tool_retrieval.chunking import windows_of
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.embedding.embedder import Embedder
from services.tool_retrieval.index.index import Hit, Table
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.ingest import embedded
from services.tool_retrieval.scoring import score, words_of
from services.tool_retrieval.settings import Settings
from services.tool_retrieval.tables import COMMITS
from shared.tokenizer import token_ends
from tests.bench import report
from tests.bench.collection import Collection, area, load, ndcg, recall
from tests.bench.foreign import FOREIGN
from tests.bench.long_files import LongFiles, joined, shown, worth
from tests.bench.spread import Spread

SIZE, OVERLAP = 800, 400
TIDY_EVERY = COMMITS * 5  # the service looks every 5 s
CANDIDATES = 100
AT_ONCE = 8
FILES_AT_ONCE = 4
WORDS, VECTORS, BOTH = "BM25 alone", "dense alone", "both, as searches mix them"


@dataclass(frozen=True)
class Judged:
    means: dict[str, tuple[float, float]]  # way -> nDCG@10, recall@20
    area: float  # how well the best score tells a query of the collection from a foreign one

    def lines(self) -> list[list[object]]:
        lines: list[list[object]] = [[way, f"{n:.4f}", f"{r:.4f}"] for way, (n, r) in self.means.items()]
        title = f"best score, own against {len(FOREIGN)} foreign queries: AUC"
        return [*lines, [title, f"{self.area:.3f}", ""]]


class Measured:
    """A collection in an index of its own."""

    def __init__(self, collection: Collection, index: LanceIndex, embedder: Embedder) -> None:
        self._collection = collection
        self._index = index
        self._embedder = embedder
        self._table = Table("vs_bench", embedder.id, embedder.dim)

    async def take_in(self) -> list[list[object]]:
        """Each text as a file of its own, several at once as the service does; return what that took."""
        self._tokens = self._windows = self._commits = 0
        self._tidying_s = 0.0
        waiting = iter(self._collection.texts.items())
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._take_in_all(waiting) for _ in range(FILES_AT_ONCE)))
        await self._index.maintain(self._table)
        whole_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        counted = (len(self._collection.texts), self._windows, self._tokens)
        return [
            ["texts, windows, tokens", ", ".join(map(str, counted))],
            [f"tokens a second, {FILES_AT_ONCE} files at once", self._tokens / whole_s],
            ["tokens a CPU second", self._tokens / cpu_s],
            ["tidying the index, seconds of them", self._tidying_s],
        ]

    async def _take_in_all(self, waiting: Iterator[tuple[str, str]]) -> None:
        for name, text in waiting:
            ends = token_ends(text)
            cut = windows_of(text, ends, size=SIZE, overlap=OVERLAP)
            fitting, texts, vectors = await embedded(self._embedder, text, cut)
            await self._index.put(self._table, name, 1, fitting, texts, vectors)
            self._tokens, self._windows = self._tokens + len(ends), self._windows + len(fitting)
            self._commits += 1
            if self._commits % TIDY_EVERY == 0:
                start = time.perf_counter()
                await self._index.maintain(self._table)
                self._tidying_s += time.perf_counter() - start

    async def judge_long(self, where: LongFiles) -> list[list[object]]:
        """Return nDCG@10 and recall@5 of texts in the chunks that a search shows."""
        found = []
        for query, text in self._collection.queries.items():
            hits, words = await self._hits(text), len(words_of(text))
            chunks = shown(((hit, score(hit.cosine, hit.bm25, words)) for hit in hits), 10)
            found.append(worth(chunks, where, self._collection.judged[query]))
        means = (mean(each[number] for each in found) for number in (0, 1))
        return [["chunks that hold half of a text", *(f"{value:.4f}" for value in means)]]

    async def judge(self) -> Judged:
        """Search for every query; judge the mix, and beside it each of its parts."""
        ways: dict[str, Callable[[Hit, int], float]] = {
            WORDS: lambda hit, _: hit.bm25,
            VECTORS: lambda hit, _: hit.cosine or 0.0,
            BOTH: lambda hit, words: score(hit.cosine, hit.bm25, words),
        }
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        tops: list[float] = []
        for query, text in self._collection.queries.items():
            hits, words = await self._hits(text), len(words_of(text))
            judged = self._collection.judged[query]
            for way, value in ways.items():
                order = _texts((hit.file_id, value(hit, words)) for hit in hits)
                found[way].append((ndcg(order, judged, 10), recall(order, judged, 20)))
            tops.append(_best(hits, words))
        low = [_best(await self._hits(text), len(words_of(text))) for text in FOREIGN]
        means = {way: (mean(n for n, _ in pairs), mean(r for _, r in pairs)) for way, pairs in found.items()}
        return Judged(means, area(tops, low))

    async def time(self) -> list[list[object]]:
        """Return the latency of searches with the embedding of their query."""
        lines: list[list[object]] = []
        for at_once in (1, AT_ONCE):
            waiting = iter(list(self._collection.queries.values())[:200])
            took: list[float] = []

            await asyncio.gather(*(self._search_all(waiting, took) for _ in range(at_once)))
            lines.append([f"search, {at_once} at once", Spread.of(took)])
        return lines

    async def _search_all(self, waiting: Iterator[str], took: list[float]) -> None:
        for text in waiting:
            began = time.perf_counter()
            await self._hits(text)
            took.append(time.perf_counter() - began)

    async def _hits(self, text: str) -> list[Hit]:
        vector = (await self._embedder.embed([text], "query"))[0]
        return await self._index.search(self._table, text, np.asarray(vector), limit=CANDIDATES)


def _best(hits: list[Hit], words: int) -> float:
    return max((score(hit.cosine, hit.bm25, words) for hit in hits), default=0.0)


def _texts(worth: Iterable[tuple[str, float]]) -> list[str]:
    """The texts that were found, best first, each once."""
    best: dict[str, float] = {}
    for name, value in worth:
        if value > best.get(name, 0.0):
            best[name] = value
    return sorted(best, key=lambda name: (-best[name], name))


async def bench(folder: Path, scratch: Path, most: int, together: int) -> str:
    collection = load(folder)
    if most:
        wanted = {name for judged in collection.judged.values() for name in judged}
        others = [name for name in collection.texts if name not in wanted][: max(most - len(wanted), 0)]
        texts = {name: collection.texts[name] for name in (*sorted(wanted), *others)}
        collection = replace(collection, texts=texts)
    embedding = Embedding(Settings())
    embedder = await embedding.get()
    assert embedder is not None, embedding.state
    index = LanceIndex(str(scratch))
    parts = [report.heading(), f"Searching `{folder.name}` with {embedder.id}.\n"]
    if together > 1:
        where = joined(collection, together)
        measured = Measured(replace(collection, texts=where.files), index, embedder)
        head = [f"found, {together} texts in a file", "nDCG@10", "recall@5"]
        parts.append(report.table(["taking in", ""], await measured.take_in()))
        parts.append(report.table(head, await measured.judge_long(where)))
    else:
        measured = Measured(collection, index, embedder)
        parts.append(report.table(["taking in", ""], await measured.take_in()))
        parts.append(report.table(["found", "nDCG@10", "recall@20"], (await measured.judge()).lines()))
    latency = ["searching, with the embedding of the query", "p50 / p95 ms"]
    parts.append(report.table(latency, await measured.time()))
    await index.close()
    await embedding.close()
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.retrieval", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=0, help="at most so many: the judged ones, and others")
    parser.add_argument("--together", type=int, default=1, help="so many texts in one file")
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        said = asyncio.run(bench(given.folder, Path(scratch), given.texts, given.together))
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
