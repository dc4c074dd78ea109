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
from tests.bench.spread import Spread

SIZE, OVERLAP = 800, 400
TIDY_EVERY = COMMITS  # as the service does
CANDIDATES = 100
AT_ONCE = 8
# Of no collection in particular: what is found for them should be worth little.
FOREIGN = (
    "How do I cancel my hotel booking?",
    "recipe for banana bread",
    "who won the football world cup in 1990",
    "best laptop for gaming under 1000 dollars",
    "how to change a bicycle tyre",
    "lease termination notice period for tenants",
    "python list comprehension syntax",
    "cheap flights to Lisbon in May",
    "guitar chords for beginners",
    "paint a wooden fence",
    "tax deadline for small companies",
    "what is the plot of Hamlet",
    "train a puppy to sit",
    "knitting pattern for a scarf",
    "install a dishwasher",
    "learn Japanese in a year",
)


class Measured:
    """A collection in an index of its own."""

    def __init__(self, collection: Collection, index: LanceIndex, embedder: Embedder) -> None:
        self._collection = collection
        self._index = index
        self._embedder = embedder
        self._table = Table("vs_bench", embedder.id, embedder.dim)

    async def take_in(self) -> list[list[object]]:
        """Each text as a file of its own; return what that took."""
        tokens = windows = 0
        embedding_s = indexing_s = 0.0
        began, cpu = time.perf_counter(), time.process_time()
        for number, (name, text) in enumerate(self._collection.texts.items(), 1):
            ends = token_ends(text)
            cut = windows_of(text, ends, size=SIZE, overlap=OVERLAP)
            start = time.perf_counter()
            fitting, texts, vectors = await embedded(self._embedder, text, cut)
            embedding_s += time.perf_counter() - start
            start = time.perf_counter()
            await self._index.put(self._table, name, 1, fitting, texts, vectors)
            if number % TIDY_EVERY == 0:
                await self._index.maintain(self._table)
            indexing_s += time.perf_counter() - start
            tokens, windows = tokens + len(ends), windows + len(fitting)
        await self._index.maintain(self._table)
        whole_s = time.perf_counter() - began
        return [
            ["texts, windows, tokens", f"{len(self._collection.texts)}, {windows}, {tokens}"],
            ["tokens a second, one file after the other", tokens / whole_s],
            ["tokens a CPU second", tokens / (time.process_time() - cpu)],
            ["embedding, indexing, seconds", f"{embedding_s:.0f}, {indexing_s:.0f}"],
        ]

    async def judge(self) -> list[list[object]]:
        """Return nDCG@10 and recall@20 of the mix, and beside it of each of its parts."""
        ways: dict[str, Callable[[Hit, int], float]] = {
            "BM25 alone": lambda hit, _: hit.bm25,
            "dense alone": lambda hit, _: hit.cosine or 0.0,
            "both, as searches mix them": lambda hit, words: score(hit.cosine, hit.bm25, words),
        }
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        tops: list[float] = []
        for query, text in self._collection.queries.items():
            hits, words = await self._hits(text), len(words_of(text))
            judged = self._collection.judged[query]
            for way, worth in ways.items():
                order = _texts((hit.file_id, worth(hit, words)) for hit in hits)
                found[way].append((ndcg(order, judged, 10), recall(order, judged, 20)))
            tops.append(_best(hits, words))
        low = [_best(await self._hits(text), len(words_of(text))) for text in FOREIGN]
        lines: list[list[object]] = [
            [way, f"{mean(each[0] for each in pairs):.4f}", f"{mean(each[1] for each in pairs):.4f}"]
            for way, pairs in found.items()
        ]
        auc = f"{area(tops, low):.3f}"
        return [*lines, [f"best score, own against {len(low)} foreign queries: AUC", auc, ""]]

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


async def bench(folder: Path, scratch: Path, most: int) -> str:
    collection = load(folder)
    if most:
        wanted = {name for judged in collection.judged.values() for name in judged}
        others = [name for name in collection.texts if name not in wanted][: max(most - len(wanted), 0)]
        texts = {name: collection.texts[name] for name in (*sorted(wanted), *others)}
        collection = Collection(texts, collection.queries, collection.judged)
    embedding = Embedding(Settings())
    embedder = await embedding.get()
    assert embedder is not None, embedding.state
    index = LanceIndex(str(scratch))
    measured = Measured(collection, index, embedder)
    parts = [
        report.heading(),
        f"Searching `{folder.name}` with {embedder.id}.\n",
        report.table(["taking in", ""], await measured.take_in()),
        report.table(["found", "nDCG@10", "recall@20"], await measured.judge()),
        report.table(["searching, with the embedding of the query", "p50 / p95 ms"], await measured.time()),
    ]
    await index.close()
    await embedding.close()
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.retrieval", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=0, help="at most so many: the judged ones, and others")
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        said = asyncio.run(bench(given.folder, Path(scratch), given.texts))
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
