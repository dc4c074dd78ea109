"""An audit beside files that are just being taken in: it must not take from them what they have got."""

import time
from pathlib import Path
from typing import Any, cast

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.index.index import Table
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.ingest import Ingest
from services.tool_retrieval.tables import TableStore
from services.tool_retrieval.upkeep import Upkeep
from shared.stores.database import Database
from shared.stores.executions import ExecutionStore
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles, id_of, new_file
from shared.stores.vector_stores import VectorStores

TABLE = Table("vs_a", "none", 0)
WINDOWS = [Window(0, 5, ((0, 10),))]
DONE = {"usage_bytes": 1, "chunks": 1, "tokens": 1, "embedder": "none", "stages": {}}
CHUNKING = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}


class NoEmbedding:
    async def get(self) -> None:
        return None


class Beside(FileClaims):
    """After each look of the audit at the files of the store, a worker goes a step on."""

    steps: list[Any]

    async def of_store(self, vector_store_id: str) -> Any:
        found = await super().of_store(vector_store_id)
        if self.steps:
            await self.steps.pop(0)()
        return found


async def test_what_comes_while_it_looks_stays_and_is_not_done_twice(db: Database, tmp_path: Path) -> None:
    index, claims = LanceIndex(str(tmp_path)), Beside(db, "a", lease_s=60)
    files, now = VectorStoreFiles(db), time.time()
    stored = {"_id": "file-1", "project_id": "p", "filename": "a.txt"}
    await files.add([new_file(stored, "vs_a", seq=1, now=now, chunking=CHUNKING, attributes={})])
    name = id_of("vs_a", "file-1")

    async def take_in() -> None:
        claimed = await claims.claim(await claims.get(name) or {}, time.time())
        assert claimed
        await index.put(TABLE, "file-1", claimed["gen"], WINDOWS, ["a fox"], None)
        claims.steps = [lambda: claims.complete(claimed, DONE, time.time())]

    claims.steps = [take_in]
    upkeep = Upkeep(
        claims,
        VectorStores(db),
        TableStore(db),
        ExecutionStore(db, "a", 60),
        SearchResultStore(db),
        cast(Embedding, NoEmbedding()),
        index,
        cast(Ingest, None),
        audit_s=60,
    )
    for _ in range(2):  # the second finds it complete
        await upkeep.audit(TABLE)
        assert await index.generations(TABLE) == {("file-1", 1)}
    file = await claims.get(name)
    assert file
    assert (file["status"], file["gen"], file["refresh"]) == ("completed", 1, False)
    await index.close()


async def test_what_a_dead_worker_left_is_removed_once_nobody_can_complete_it(
    db: Database, tmp_path: Path
) -> None:
    index, claims = LanceIndex(str(tmp_path)), Beside(db, "a", lease_s=0.0)
    claims.steps = []
    stored = {"_id": "file-1", "project_id": "p", "filename": "a.txt"}
    fresh = new_file(stored, "vs_a", seq=1, now=time.time(), chunking=CHUNKING, attributes={})
    await VectorStoreFiles(db).add([fresh])
    upkeep = Upkeep(
        claims,
        VectorStores(db),
        TableStore(db),
        ExecutionStore(db, "a", 60),
        SearchResultStore(db),
        cast(Embedding, NoEmbedding()),
        index,
        cast(Ingest, None),
        audit_s=60,
    )
    claimed = await claims.claim(await claims.get(id_of("vs_a", "file-1")) or {}, time.time())
    assert claimed
    await index.put(TABLE, "file-1", 1, WINDOWS, ["a fox"], None)
    await upkeep.audit(TABLE)
    assert await index.generations(TABLE) == {("file-1", 1)}, "its worker may only be slow"
    assert await claims.claim(claimed, time.time() + 1)
    await upkeep.audit(TABLE)
    assert await index.generations(TABLE) == set()
    await index.close()
