"""One model for embeddings takes the place of another: nothing is out of reach meanwhile."""

import asyncio
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import HttpUrl

from services.tool_retrieval.settings import Settings
from shared.stores.database import connect
from tests.embedding_server import EmbeddingServer, Fault, embedding_server
from tests.eventually import eventually
from tests.integration.retrieval import Client, retrieval, retrieval_settings

QUERY = "fox"
FILES = 5  # more than are embedded at once
LONGEST_S = 120.0


class Gated(EmbeddingServer):
    """Embeds no text but the query by the second model, until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.gate = threading.Event(), threading.Event()

    def answer(self, body: dict[str, Any]) -> Fault:
        if body["model"] == "second" and body["input"] != [QUERY]:
            self.reached.set()
            self.gate.wait(LONGEST_S)
        return super().answer(body)


async def embedders(client: Client, store: str) -> set[str]:
    found = client.db["vector_store_files"].find({"vector_store_id": store, "live": True})
    return {file["embedder"] async for file in found}


async def test_another_model_takes_over_while_searches_go_on(
    kafka_bootstrap: str, mongo_url: str, tmp_path: Path
) -> None:
    name, prefix = f"test_{uuid4().hex[:12]}", f"t{uuid4().hex[:8]}."
    db = connect(mongo_url, name)
    with embedding_server(server := Gated()):

        def settings(model: str, dimensions: int) -> Settings:
            more = {"embedding_model": model, "embedding_dimensions": dimensions, "audit_s": 1.0}
            more |= {"embedding_url": HttpUrl(server.url), "embedder": "openai", "topic_prefix": prefix}
            return retrieval_settings(kafka_bootstrap, mongo_url, name, tmp_path, **more)

        try:
            async with retrieval(settings("first", 16), db) as client:
                store = await client.store()
                for number in range(FILES):
                    await client.add(store, f"{number}.txt", f"The fox of day {number}.")
                assert await embedders(client, store) == {"first@16"}
                assert len(await client.search(store, QUERY)) == FILES
            async with retrieval(settings("second", 24), db) as client:
                assert await asyncio.to_thread(server.reached.wait, LONGEST_S)
                assert len(await client.search(store, QUERY)) == FILES
                assert await embedders(client, store) == {"first@16"}
                server.gate.set()

                async def embedded() -> bool:
                    return await embedders(client, store) == {"second@24"}

                await eventually(embedded, within_s=60)
                assert len(await client.search(store, QUERY)) == FILES

                async def only_the_new_table() -> bool:
                    tables = await db["index_tables"].find({"vector_store_id": store}).to_list(10)
                    return [table["embedder"] for table in tables] == ["second@24"]

                await eventually(only_the_new_table, within_s=60)
                assert len(await client.search(store, QUERY)) == FILES
        finally:
            server.gate.set()
    await db.client.drop_database(name)
    db.client.close()
