"""What nobody rings for: lost commands, dead workers, expired stores, an untidy or missing index."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.index.index import Index, IndexAway, Table
from services.tool_retrieval.ingest import Ingest
from services.tool_retrieval.tables import TableStore
from shared import clock
from shared.stores.database import Document, PyMongoError
from shared.stores.executions import ExecutionStore
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import id_of
from shared.stores.vector_stores import VectorStores

log = logging.getLogger(__name__)

TIDY_WITHIN_S = 600.0
FORGET_EVERY_S = 600.0
PASSING = (PyMongoError, IndexAway)

Work: TypeAlias = Callable[[], Awaitable[None]]


class Upkeep:
    def __init__(
        self,
        claims: FileClaims,
        stores: VectorStores,
        tables: TableStore,
        executions: ExecutionStore,
        results: SearchResultStore,
        embedding: Embedding,
        index: Index,
        ingest: Ingest,
        audit_s: float,
    ) -> None:
        self._claims = claims
        self._stores = stores
        self._tables = tables
        self._executions = executions
        self._results = results
        self._embedding = embedding
        self._index = index
        self._ingest = ingest
        self._audit_s = audit_s
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def sweep_often(self, every_s: float) -> None:
        """Look for files and stores that wait, until cancelled."""
        try:
            await self._repeat(every_s, self._look_for_files)
        finally:
            for task in self._looking.values():
                task.cancel()
            await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def tidy_often(self, every_s: float) -> None:
        """Look after the tables, until cancelled. After a start, all are held against their files."""
        await self._repeat(
            every_s, self._look_after_tables, first=lambda: self._tables.audit_all(clock.now())
        )

    async def forget_often(self) -> None:
        await self._repeat(FORGET_EVERY_S, self._forget)

    async def audit(self, table: Table) -> None:
        """Hold a table against the files that should be in it: what is missing is taken in anew, what is
        too much is removed."""
        # Files come and go meanwhile: what is missing was to be there before, what is too much is so after.
        before = await self._claims.of_store(table.store_id)
        present = await self._index.generations(table)
        files = await self._claims.of_store(table.store_id)
        embedder = await self._embedding.get()
        current = embedder.id if embedder else "none"
        now = clock.now()
        wanted = 0
        for file_id, file in files.items():
            if file["status"] != "completed" or file["embedder"] != table.embedder:
                continue
            wanted += 1
            if (then := before.get(file_id)) is None or then["active_gen"] != file["active_gen"]:
                continue
            is_right = (file_id, file["active_gen"]) in present and file["embedder"] == current
            name = id_of(table.store_id, file_id)
            if not is_right and await self._claims.refresh(name, file["gen"], now):
                log.warning("a file is taken in anew", extra={"file_id": file_id})
        for file_id, gen in present:
            if _is_left_over(files.get(file_id), gen):
                await self._index.delete_exactly(table, file_id, gen)
        if not wanted and table.embedder != current and not present:
            await self._index.drop(table)
            await self._tables.forget(table)

    async def _look_for_files(self) -> None:
        now = clock.now()
        for file in await self._claims.due(now):
            name = file["_id"]
            if name not in self._looking:
                task = asyncio.create_task(self._look_at(name))
                self._looking[name] = task
                task.add_done_callback(lambda _, name=name: self._looking.pop(name, None))  # type: ignore[misc]
        for store in await self._stores.claim_due(now):
            await self._ingest.drop(store["project_id"], store["_id"])

    async def _look_at(self, name: str) -> None:
        try:
            await self._ingest.look_at(name)
        except PASSING as error:
            log.warning("a file is looked at again later", exc_info=error)

    async def _look_after_tables(self) -> None:
        now = clock.now()
        for table in await self._tables.claim_unaudited(now, self._audit_s):
            await self.audit(table)
        for table in await self._tables.claim_untidy(now, TIDY_WITHIN_S):
            began = time.monotonic()
            await self._index.maintain(table)
            await self._tables.tidied(table, now, TIDY_WITHIN_S)
            log.info(
                "tidied a table", extra={"table": table.name, "took_s": round(time.monotonic() - began, 3)}
            )

    async def _forget(self) -> None:
        await self._executions.forget_old(clock.now())
        await self._results.forget_old(clock.now())

    async def _repeat(
        self,
        every_s: float,
        work: Callable[[], Awaitable[None]],
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        while True:
            try:
                if first is not None:
                    await first()
                    first = None
                await work()
            except PASSING as error:
                log.error("looking again later", exc_info=error)
            await asyncio.sleep(every_s * random.uniform(0.75, 1.25))


def _is_left_over(file: Document | None, gen: int) -> bool:
    """Whether nobody will ever look for this generation.

    One whose worker's lease has lapsed may still be completed; if not, the next claim raises the generation.
    """
    if file is None:
        return True
    being_made = gen == file["gen"] and file["until"] > 0
    return gen != file["active_gen"] and not being_made
