"""tool_retrieval as a process of the embedded stack, with the embedder that it comes with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local.stack import Options, Stack
from services.tool_retrieval.embedding import model_file
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.stores.database import connect
from tests.eventually import eventually
from tests.integration.retrieval import Client

ABOUT = {
    "cooking.txt": "Let the dough rest for an hour, then bake the loaf in a hot oven.",
    "physics.txt": "Photons carry momentum although they have no mass.",
    "law.txt": "The tenant may end the lease with three months' notice.",
}


@pytest.fixture(scope="session")
def embedder() -> None:
    try:
        model_file.carrier()
    except model_file.NoWeights as error:
        pytest.skip(str(error))


@asynccontextmanager
async def stack_of(folder: Path, **env: str) -> AsyncIterator[tuple[Stack, Client]]:
    options = Options(data=folder, services=("tool_retrieval",), env=env)
    async with Stack(options) as stack:
        settings = ServiceSettings(
            kafka_bootstrap=stack.kafka_bootstrap, mongo_url=SecretStr(stack.mongo_url)
        )
        db = connect(stack.mongo_url, settings.mongo_database)
        async with Publisher(settings, client_id="test") as publisher:
            yield stack, Client(db, publisher)
        db.client.close()


async def test_files_are_found_by_what_they_mean(tmp_path: Path, embedder: None) -> None:
    async with stack_of(tmp_path) as (_, client):
        store = await client.store()
        ids = {name: await client.add(store, name, text) for name, text in ABOUT.items()}
        found = await client.search(store, "How do I make bread?")
        assert found[0]["file_id"] == ids["cooking.txt"]
        assert found[0]["score"] < 0.6  # no word is the same
        file = await client.files.get(store, ids["law.txt"])
        assert file
        assert file["embedder"] == "all-MiniLM-L6-v2"
    assert any((tmp_path / "index").iterdir())


async def test_another_embedder_takes_the_files_in_anew(tmp_path: Path, embedder: None) -> None:
    async with stack_of(tmp_path, THREADMILL_EMBEDDER="none") as (stack, client):
        store = await client.store()
        for name, text in ABOUT.items():
            await client.add(store, name, text)
        assert await client.search(store, "How do I make bread?") == []
        await stack.stop("tool_retrieval")
        await stack.start("tool_retrieval", {"THREADMILL_EMBEDDER": "local", "THREADMILL_SWEEP_S": "0.3"})
        assert len(await client.search(store, "lease")) >= 1  # found throughout

        async def embedded() -> bool:
            found = client.db["vector_store_files"].find({"vector_store_id": store, "live": True})
            return all(file["embedder"] == "all-MiniLM-L6-v2" for file in await found.to_list(10))

        await eventually(embedded, within_s=60)
        assert (await client.search(store, "How do I make bread?"))[0]["file_name"] == "cooking.txt"
