"""tool_retrieval in this process, and what the gateway and the orchestrator would ask of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from services.tool_retrieval.app import build_app
from services.tool_retrieval.settings import Settings
from shared.events import FileCommand, SearchRequested
from shared.files.gridfs import GridFSStorage
from shared.files.library import Library
from shared.ids import new_file_id, new_id, new_sequence
from shared.publisher import Publisher
from shared.runs.model import Json
from shared.stores.database import Database, Document
from shared.stores.files import FileStore
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles, id_of, new_file
from shared.stores.vector_stores import VectorStores
from shared.topics import FILE_COMMANDS, TOOL_REQUESTS_RETRIEVAL
from tests.eventually import eventually

PROJECT = "p"
CHUNKING = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}


def retrieval_settings(kafka: str, mongo: str, database: str, folder: Path, **more: Any) -> Settings:
    """Without an embedder, unless ``more`` says so: keywords need no model."""
    return Settings(
        kafka_bootstrap=kafka,
        mongo_url=SecretStr(mongo),
        mongo_database=database,
        topic_prefix=more.pop("topic_prefix", f"t{uuid4().hex[:8]}."),
        index_url=str(folder / "index"),
        model_folder=more.pop("model_folder", folder / "models"),
        **{"embedder": "none", "lease_s": 2.0, "sweep_s": 0.3, **more},
    )


@dataclass
class Client:
    db: Database
    publisher: Publisher
    project: str = PROJECT

    @property
    def library(self) -> Library:
        return Library(FileStore(self.db), GridFSStorage(self.db))

    @property
    def files(self) -> VectorStoreFiles:
        return VectorStoreFiles(self.db)

    @property
    def stores(self) -> VectorStores:
        return VectorStores(self.db)

    async def store(self, **fields: Any) -> str:
        name = new_id("vs")
        whole: Json = {
            "name": None,
            "description": None,
            "metadata": {},
            "expires_after": None,
            "helper": False,
        }
        await self.stores.add(name, self.project, {**whole, **fields}, time.time())
        return name

    async def upload(self, filename: str, content: bytes) -> str:
        file_id = new_file_id()
        await self.library.keep(file_id, self.project, content, purpose="assistants", filename=filename)
        return file_id

    async def attach(
        self, store: str, file_id: str, *, ring: bool = True, chunking: Json | None = None, **attributes: Any
    ) -> None:
        file = await self.library.store.get(self.project, file_id, time.time())
        assert file
        document = new_file(
            file,
            store,
            seq=new_sequence(),
            now=time.time(),
            chunking=chunking or CHUNKING,
            attributes=attributes,
        )
        await self.files.add([document])
        if ring:
            await self.ring(store, file_id, "added")

    async def add(self, store: str, filename: str, content: bytes | str, **attributes: Any) -> str:
        """Upload a file, put it into a store, and wait until it is taken in."""
        file_id = await self.upload(filename, content.encode() if isinstance(content, str) else content)
        await self.attach(store, file_id, **attributes)
        assert (await self.taken_in(store, file_id))["status"] == "completed"
        return file_id

    async def taken_in(self, store: str, file_id: str, *, within_s: float = 60) -> Document:
        """Wait until a file is ``completed`` or something else for good."""

        async def done() -> Document | None:
            found = await self.files.get(store, file_id)
            assert found
            return found if found["status"] != "in_progress" else None

        return await eventually(done, within_s=within_s)

    async def remove(self, store: str, file_id: str, *, ring: bool = True) -> None:
        await self.files.remove(store, file_id, time.time())
        if ring:
            await self.ring(store, file_id, "removed")

    async def ring(self, store: str, file_id: str, reason: Any) -> None:
        command = FileCommand(project_id=self.project, vector_store_id=store, file_id=file_id, reason=reason)
        await eventually(lambda: self.publisher.request(FILE_COMMANDS, file_id or store, command))

    async def settled(self, store: str, file_id: str) -> None:
        """Wait until nothing is left to do for a file."""

        async def done() -> bool:
            found = await self.db["vector_store_files"].find_one({"_id": id_of(store, file_id)})
            return found is not None and found["wake_at"] > time.time() + 1e6

        await eventually(done, within_s=30)

    async def ask(self, stores: list[str], *queries: str, **more: Any) -> str:
        """Publish a search; return its call."""
        call = more.pop("call_id", None) or new_id("call")
        request = SearchRequested(
            call_id=call,
            project_id=self.project,
            deadline=time.time() + more.pop("within_s", 90),
            queries=queries,
            vector_store_ids=tuple(stores),
            **more,
        )
        await eventually(lambda: self.publisher.request(TOOL_REQUESTS_RETRIEVAL, call, request))
        return call

    async def answer(self, call: str) -> Document:
        results = SearchResultStore(self.db)
        return await eventually(lambda: results.get(call), within_s=60)

    async def search(self, stores: list[str] | str, *queries: str, **more: Any) -> list[Json]:
        named = [stores] if isinstance(stores, str) else stores
        found = await self.answer(await self.ask(named, *queries, **more))
        assert found["error"] is None, found["error"]
        results: list[Json] = found["results"]
        return results


@asynccontextmanager
async def retrieval(settings: Settings, db: Database) -> AsyncIterator[Client]:
    app = build_app(settings)
    async with app.router.lifespan_context(app), Publisher(settings, client_id="test") as publisher:
        yield Client(db, publisher)
