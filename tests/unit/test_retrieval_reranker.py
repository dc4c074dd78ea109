"""A reranker behind ``/rerank``, and what goes wrong with one."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import HttpUrl, SecretStr

from services.tool_retrieval import reranker as reranking
from services.tool_retrieval.reranker import HttpReranker, RerankerError, best_scores, reranker_for
from services.tool_retrieval.settings import Settings
from tests.embedding_server import EmbeddingServer, Fault, embedding_server


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "TIMEOUT_S", 60.0)  # a busy machine is no fault


@pytest.fixture
async def reranker(server: EmbeddingServer) -> AsyncIterator[HttpReranker]:
    reranker = HttpReranker(server.url, "key-1", "some-model")
    yield reranker
    await reranker.close()


def answer(*scores: float, rows: str = "results") -> Fault:
    """What a server says: the best first, each with its place in the question."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    found = [{"index": place, "relevance_score": scores[place]} for place in order]
    return Fault(200, json.dumps({rows: found}).encode())


@pytest.mark.parametrize("rows", ["results", "data"])
async def test_each_text_gets_its_own_score(
    server: EmbeddingServer, reranker: HttpReranker, rows: str
) -> None:
    server.faults.append(answer(0.1, 0.9, 0.5, rows=rows))
    assert await reranker.scores("a fox", ["one", "two", "three"]) == [0.1, 0.9, 0.5]
    assert server.bodies == [{"query": "a fox", "documents": ["one", "two", "three"], "model": "some-model"}]
    assert server.paths == ["/v1/rerank"]
    assert server.keys == ["Bearer key-1"]
    assert await reranker.scores("a fox", []) == []
    assert len(server.bodies) == 1


async def test_scores_of_any_size_become_some_from_0_to_1(
    server: EmbeddingServer, reranker: HttpReranker
) -> None:
    server.faults.append(answer(-900.0, 0.0, 4.0, 900.0))
    low, middle, high, highest = await reranker.scores("a fox", ["one", "two", "three", "four"])
    assert 0.0 <= low < middle == 0.5 < high < highest <= 1.0


async def test_a_text_is_worth_what_its_best_query_says(
    server: EmbeddingServer, reranker: HttpReranker
) -> None:
    server.faults.extend([answer(0.2, 0.8), answer(0.6, 0.1)])
    assert await best_scores(reranker, ["a fox", "a dog"], ["one", "two"]) == [0.6, 0.8]


@pytest.mark.parametrize(
    "wrong",
    [
        Fault(500),
        Fault(401),
        Fault(200, b"<html>"),
        Fault(200, b"[]"),
        Fault(200, b"{}"),
        Fault(200, b'{"results": null}'),
        Fault(200, b'{"results": [{"index": 0, "relevance_score": null}]}'),
        Fault(200, b'{"results": [{"index": 0, "relevance_score": NaN}]}'),
        answer(),
    ],
)
async def test_one_that_fails_is_left_alone_for_a_while(
    server: EmbeddingServer, reranker: HttpReranker, wrong: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.append(wrong)
    with pytest.raises(RerankerError):
        await reranker.scores("a fox", ["one"])
    assert await best_scores(reranker, ["a fox"], ["one"]) is None
    assert len(server.bodies) == 1
    monkeypatch.setattr(reranking, "PAUSE_S", 0.0)
    again = HttpReranker(server.url, "", "")
    server.faults.extend([wrong, answer(0.5)])
    assert await best_scores(again, ["a fox"], ["one"]) is None
    assert await best_scores(again, ["a fox"], ["one"]) == [0.5]
    assert "model" not in server.bodies[-1]
    await again.close()


async def test_one_that_is_away_says_so() -> None:
    with embedding_server() as gone:
        url = gone.url
    reranker = HttpReranker(url, "", "some-model")
    assert await best_scores(reranker, ["a fox"], ["one"]) is None
    await reranker.close()


async def test_it_is_off_unless_an_address_is_set() -> None:
    assert reranker_for(Settings()) is None
    settings = Settings(rerank_url=HttpUrl("http://localhost:9/v1"), rerank_api_key=SecretStr("k"))
    reranker = reranker_for(settings)
    assert isinstance(reranker, HttpReranker)
    await reranker.close()
