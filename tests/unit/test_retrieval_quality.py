"""Whether searches find what they should: a small collection through chunker, embedder and index."""

from pathlib import Path

import pytest

from services.tool_retrieval.embedding import model_file
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.settings import Settings
from tests.bench.collection import load
from tests.bench.retrieval import BOTH, VECTORS, WORDS, Measured

pytestmark = pytest.mark.timeout(900)  # some 25 s of CPU

SAMPLE = Path(__file__).parents[1] / "bench" / "sample"


async def test_searches_find_what_was_judged_to_answer(tmp_path: Path) -> None:
    try:
        model_file.carrier()
    except model_file.NoWeights as error:
        pytest.skip(str(error))
    embedding, index = Embedding(Settings()), LanceIndex(str(tmp_path))
    embedder = await embedding.get()
    assert embedder is not None, embedding.state
    try:
        measured = Measured(load(SAMPLE), index, embedder)
        await measured.take_in()
        judged = await measured.judge()
    finally:
        await index.close()
        await embedding.close()
    both, words, vectors = (judged.means[way] for way in (BOTH, WORDS, VECTORS))
    assert both[0] > max(words[0], vectors[0]), judged
    assert both[0] > 0.83, judged
    assert both[1] > 0.95, judged
    assert judged.area > 0.97, judged
