"""Vectors of a server that speaks ``/v1/embeddings``, and what goes wrong with one."""

from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from services.tool_retrieval.embedding.embedder import EmbedderError
from services.tool_retrieval.embedding.openai import OpenAIEmbedder
from tests.embedding_server import EmbeddingServer, Fault, embedding_server

DIM = 16


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        yield server


@pytest.fixture
async def embedder(server: EmbeddingServer) -> AsyncIterator[OpenAIEmbedder]:
    embedder = OpenAIEmbedder(server.url, "key-1", "some-model", DIM, batch=3)
    yield embedder
    await embedder.close()


async def test_texts_are_sent_in_batches_and_come_back_in_their_order(
    server: EmbeddingServer, embedder: OpenAIEmbedder
) -> None:
    texts = [f"fox number {number}" for number in range(8)]
    vectors = await embedder.embed(texts, "document")
    assert vectors.shape == (8, DIM)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0)
    for text, vector in zip(texts, vectors, strict=True):
        assert np.allclose((await embedder.embed([text], "query"))[0], vector)
    batches = sorted(len(body["input"]) for body in server.bodies[:3])
    assert batches == [2, 3, 3]
    assert {(body["model"], body["dimensions"]) for body in server.bodies} == {("some-model", DIM)}
    assert set(server.keys) == {"Bearer key-1"}
    assert (embedder.id, embedder.dim) == ("some-model@16", DIM)


async def test_nothing_is_asked_for_no_text(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    assert (await embedder.embed([], "document")).shape == (0, DIM)
    assert server.bodies == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_it_is_asked_again_while_it_is_busy(
    server: EmbeddingServer, embedder: OpenAIEmbedder, status: int
) -> None:
    server.faults.append(Fault(status, headers={"retry-after": "0.01"}))
    assert (await embedder.embed(["a fox"], "query")).shape == (1, DIM)
    assert len(server.bodies) == 2


async def test_a_query_is_not_tried_for_long(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    server.faults.extend(Fault(500, headers={"retry-after": "0.01"}) for _ in range(9))
    with pytest.raises(EmbedderError, match="500"):
        await embedder.embed(["a fox"], "query")
    assert len(server.bodies) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_it_refuses_is_not_tried_again(
    server: EmbeddingServer, embedder: OpenAIEmbedder, status: int
) -> None:
    server.faults.append(Fault(status))
    with pytest.raises(EmbedderError, match=str(status)):
        await embedder.embed(["a fox"], "document")
    assert len(server.bodies) == 1


async def test_a_model_of_one_size_is_not_asked_for_a_size(
    server: EmbeddingServer, embedder: OpenAIEmbedder
) -> None:
    server.takes_dimensions, server.size = False, DIM
    assert (await embedder.embed(["a fox"], "document")).shape == (1, DIM)
    assert ["dimensions" in body for body in server.bodies] == [True, False]


async def test_vectors_of_another_size_are_not_taken(
    server: EmbeddingServer, embedder: OpenAIEmbedder
) -> None:
    server.size = DIM - 1
    with pytest.raises(EmbedderError, match="THREADMILL_EMBEDDING_DIMENSIONS"):
        await embedder.embed(["a fox"], "query")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"data": [{"index": 0}]}',
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": null}]}',
    ],
)
async def test_an_answer_that_is_none_is_a_passing_fault(
    server: EmbeddingServer, embedder: OpenAIEmbedder, body: bytes
) -> None:
    server.faults.append(Fault(200, body))
    with pytest.raises(EmbedderError):
        await embedder.embed(["a fox"], "query")


async def test_a_server_that_is_away_is_a_passing_fault() -> None:
    with embedding_server() as gone:
        url = gone.url
    embedder = OpenAIEmbedder(url, "", "some-model", DIM, batch=3)
    with pytest.raises(EmbedderError):
        await embedder.embed(["a fox"], "query")
    await embedder.close()
