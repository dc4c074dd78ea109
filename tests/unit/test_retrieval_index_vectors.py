"""How the index keeps vectors, table by table size: what is found is the same, and its cosine is right."""

from pathlib import Path

import numpy as np
import pytest

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors
from services.tool_retrieval.index import lance
from services.tool_retrieval.index.index import Table
from services.tool_retrieval.index.lance import LanceIndex

DIM = 16
TABLE = Table("vs_a", "made up", DIM)
WINDOWS = [Window(place, place + 1, ((place, place + 1),)) for place in range(100)]


async def test_all_vectors_are_compared_and_those_of_a_large_table_nearly_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "FLAT_FROM", 200)
    monkeypatch.setattr(lance, "PARTED_FROM", 400)
    monkeypatch.setattr(lance, "PARTS", 2)
    monkeypatch.setattr(lance, "PART_WINDOWS", 250)
    monkeypatch.setattr(lance, "MOST_ADDED", 1)
    random = np.random.default_rng(1)
    index, kept, kinds = LanceIndex(str(tmp_path)), np.empty((0, DIM), np.float32), []
    try:
        for number in range(6):
            vectors = _of_length_1(random.standard_normal((len(WINDOWS), DIM), np.float32))
            texts = ["quick brown foxes"] * len(WINDOWS)
            await index.put(TABLE, f"file-{number}", 1, WINDOWS, texts, vectors)
            kept = np.concatenate([kept, vectors])
            if number % 2:  # else there are some that the index of vectors does not know yet
                await index.maintain(TABLE)
            opened = await index._table(TABLE, make=False)
            indexes = [each for each in await opened.list_indices() if each.name != "text_idx"]
            assert all(each.num_segments == 1 for each in indexes)
            kinds.append([each.index_type for each in indexes])
            query = _of_length_1(random.standard_normal((1, DIM), np.float32))[0]
            await _is_right(index, query, kept)
    finally:
        await index.close()
    assert kinds == [[], *2 * [["IvfFlat"]], *3 * [["IvfSq"]]]


def _of_length_1(vectors: Vectors) -> Vectors:
    scaled: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


async def _is_right(index: LanceIndex, query: Vectors, kept: Vectors) -> None:
    """Found by their vectors alone, the nearest ones come with their cosines, whatever keeps them."""
    hits = await index.search(TABLE, "horses", query, limit=20)
    cosines = {
        (hit.file_id, hit.window.start): hit.cosine for hit in hits if hit.cosine is not None and not hit.bm25
    }
    assert len(cosines) == 20
    every = kept @ query
    for (file_id, place), cosine in cosines.items():
        assert cosine == pytest.approx(every[int(file_id[5:]) * len(WINDOWS) + place], abs=1e-5)
    nearest = sorted(every, reverse=True)[:20]
    assert len([value for value in cosines.values() if value >= nearest[-1] - 1e-5]) >= 18
