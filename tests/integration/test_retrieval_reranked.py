"""Searches of a tool_retrieval that has a reranker, and of one whose reranker fails."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import HttpUrl

from shared.stores.database import connect
from tests.embedding_server import EmbeddingServer, Fault, embedding_server
from tests.integration.retrieval import retrieval, retrieval_settings

TEXTS = {"one.txt": "fox fox fox", "two.txt": "a fox and a dog", "three.txt": "a fox, a dog and a long day"}


class Preferring(EmbeddingServer):
    """Likes the longer text better, and says so by ``/rerank``."""

    def answer(self, body: dict[str, object]) -> Fault:
        self.bodies.append(body)
        if self.faults:
            return self.faults.popleft()
        texts = body["documents"]
        assert isinstance(texts, list)
        rows = [{"index": n, "relevance_score": len(text) / 100} for n, text in enumerate(texts)]
        return Fault(200, json.dumps({"results": rows}).encode())


async def test_a_reranker_says_the_order_and_the_score(
    kafka_bootstrap: str, mongo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tool_retrieval.reranker.PAUSE_S", 0.0)
    monkeypatch.setattr("services.tool_retrieval.reranker.TIMEOUT_S", 60.0)  # a busy machine is no fault
    name = f"test_{uuid4().hex[:12]}"
    db = connect(mongo_url, name)
    with embedding_server(Preferring()) as server:
        settings = retrieval_settings(
            kafka_bootstrap, mongo_url, name, tmp_path, rerank_url=HttpUrl(server.url), rerank_model="m"
        )
        async with retrieval(settings, db) as client:
            store = await client.store()
            for file, text in TEXTS.items():
                await client.add(store, file, text)
            found = await client.search(store, "fox")
            assert [(each["file_name"], each["score"]) for each in found] == [
                ("three.txt", 0.27),
                ("two.txt", 0.15),
                ("one.txt", 0.11),
            ]
            assert len(await client.search(store, "fox", score_threshold=0.2)) == 1
            assert len(await client.search(store, "fox", max_num_results=2)) == 2
            assert len(server.bodies) == 3
            unranked = await client.search(store, "fox", ranker="none")
            assert len(server.bodies) == 3
            server.faults.append(Fault(500))
            assert await client.search(store, "fox") == unranked
            assert len(server.bodies) == 4
            assert unranked[0]["score"] not in {each["score"] for each in found}
    await db.client.drop_database(name)
    db.client.close()
