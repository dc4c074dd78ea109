"""``python -m tests.bench.windows FOLDER``: what a search costs in indexes of different sizes.

FOLDER is a judged collection, as for ``tests.bench.retrieval``. Its windows are real, and so are some
vectors; a larger index gets texts put together from halves of theirs, and vectors near the real ones, so
that a million need not be embedded. Searches are those of the service, with the embedding of the query;
MongoDB and Kafka are left out.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from services.tool_retrieval.chunking import Window, windows_of
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.embedding.embedder import Embedder, Vectors
from services.tool_retrieval.index.index import Table
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.searches import CANDIDATES
from services.tool_retrieval.settings import Settings
from shared.tokenizer import token_ends
from tests.bench import processes, report
from tests.bench.collection import load
from tests.bench.spread import Spread

SIZES = (10_000, 100_000)
EMBEDDED = 500  # windows whose vectors are real
NEAR = 0.8  # length of what is added to a real vector, of length 1
A_FILE = 500  # windows of one file, of one commit
TIDY_EVERY = 20  # commits
SEARCHES = 300
WARM_UP = 16
AT_ONCE = (1, 8)
SEED = 1


class Windows:
    """As many as are wanted, the same ones each time."""

    def __init__(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._texts = texts
        self._vectors = vectors

    @classmethod
    async def of(cls, texts: Sequence[str], embedder: Embedder) -> "Windows":
        random = np.random.default_rng(SEED)
        chosen = random.choice(len(texts), min(EMBEDDED, len(texts)), replace=False)
        return cls(texts, await embedder.embed([texts[number] for number in chosen], "document"))

    def files(self, count: int) -> Iterator[tuple[list[str], Vectors]]:
        random = np.random.default_rng(SEED)
        for start in range(0, count, A_FILE):
            numbers = range(start, min(start + A_FILE, count))
            near = self._vectors[random.integers(len(self._vectors), size=len(numbers))]
            noise = random.standard_normal(near.shape, np.float32)
            vectors = near + NEAR * noise / np.linalg.norm(noise, axis=1, keepdims=True)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            others = random.integers(len(self._texts), size=len(numbers))
            yield [self._text(*pair) for pair in zip(numbers, others, strict=True)], vectors

    def _text(self, number: int, other: int) -> str:
        one, two = self._texts[number % len(self._texts)], self._texts[other]
        return one if number < len(self._texts) else one[: len(one) // 2] + two[len(two) // 2 :]


async def measured(windows: Windows, count: int, queries: Sequence[str], embedder: Embedder) -> list[object]:
    with tempfile.TemporaryDirectory() as folder:
        index = LanceIndex(folder)
        table = Table("vs_bench", embedder.id, embedder.dim)
        began = time.perf_counter()
        for number, (texts, vectors) in enumerate(windows.files(count), 1):
            places = [Window(place, place + 1, ((place, place + 1),)) for place in range(len(texts))]
            await index.put(table, f"file-{number}", 1, places, texts, vectors)
            if number % TIDY_EVERY == 0 and number * A_FILE < count:
                await index.maintain(table)
        await index.maintain(table)
        made_s = time.perf_counter() - began
        line: list[object] = [f"{count:,}", made_s, _size_mb(Path(folder))]
        for at_once in AT_ONCE:
            await _searches(index, table, queries[:WARM_UP], embedder, at_once)
            cpu, began = time.process_time(), time.perf_counter()
            took = await _searches(index, table, queries, embedder, at_once)
            whole_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            line += [Spread.of(took), len(took) / whole_s, cpu_s * 1000 / len(took)]
        await index.close()
        return [*line, processes.resident_mb(os.getpid())]


async def _searches(
    index: LanceIndex, table: Table, queries: Sequence[str], embedder: Embedder, at_once: int
) -> list[float]:
    waiting, took = iter(queries), []

    async def work() -> None:
        for query in waiting:
            began = time.perf_counter()
            vector = (await embedder.embed([query], "query"))[0]
            await index.search(table, query, vector, limit=CANDIDATES)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return took


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


async def bench(folder: Path, sizes: Sequence[int]) -> str:
    collection = load(folder)
    embedding = Embedding(Settings())
    embedder = await embedding.get()
    assert embedder is not None, embedding.state
    texts = [
        text[window.start : window.end]
        for text in collection.texts.values()
        for window in windows_of(text, token_ends(text), size=800, overlap=400)
    ]
    windows = await Windows.of(texts, embedder)
    queries = list(collection.queries.values())[:SEARCHES]
    head = ["windows", "made in s", "MB on disk"]
    for at_once in AT_ONCE:
        head += [f"{at_once} at once, p50 / p95 ms", "per s", "CPU ms"]
    said = [report.heading()]
    lines = [await measured(windows, size, queries, embedder) for size in sizes]
    said.append(report.table([*head, "resident MB"], lines))
    await embedding.close()
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.windows", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--windows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    said = asyncio.run(bench(given.folder, given.windows))
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
