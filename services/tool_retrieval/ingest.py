"""One file of one vector store: taken in, taken in anew, or removed. What is needed, its document says.

Every step may be lost with the process: the lease lapses, a sweeper looks at the document, and the
work is done again under the next generation. Only ``complete`` lets searches show what was indexed.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from services.tool_retrieval.chunking import Window, halves, windows_of
from services.tool_retrieval.claims import GIVEN_UP, MOST_ATTEMPTS, FileClaims
from services.tool_retrieval.embedding.choose import Embedding
from services.tool_retrieval.embedding.embedder import Embedder, EmbedderError, Vectors
from services.tool_retrieval.index.index import Index, IndexAway, Table
from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.tables import TableStore
from services.tool_retrieval.texts import Texts
from shared import clock
from shared.errors import ServiceError
from shared.failpoints import failpoint
from shared.files.storage import BytesMissing
from shared.stores.database import Document, PyMongoError
from shared.stores.vector_stores import VectorStores

log = logging.getLogger(__name__)

PASSING = (EmbedderError, IndexAway, PyMongoError, ServiceError, BytesMissing, OSError)
RETRY_S = 10.0  # after the first failure, and that much longer after each
AT_ONCE = 256  # windows given to the embedder
NO_EMBEDDER = "none"


class Ingest:
    def __init__(
        self,
        claims: FileClaims,
        stores: VectorStores,
        tables: TableStore,
        texts: Texts,
        embedding: Embedding,
        index: Index,
        *,
        at_once: int,
        renew_s: float,
    ) -> None:
        self._claims = claims
        self._stores = stores
        self._tables = tables
        self._texts = texts
        self._embedding = embedding
        self._index = index
        self._free = asyncio.Semaphore(at_once)
        self._renew_s = renew_s

    async def look_at(self, name: str) -> None:
        """Do what the file ``name`` (``vector_store_id:file_id``) needs now. Safe to repeat."""
        async with self._free:
            file = await self._claims.get(name)
            if file is None:
                return
            wanted = file["status"] == "in_progress" or (
                file["status"] == "completed" and file.get("refresh")
            )
            if not file["live"]:
                await self._remove(file)
            elif not wanted:
                await self._clean(file)
            elif await self._in_use(file):
                await self._take_in(file)
            else:
                await self._claims.cancel(file)

    async def drop(self, project_id: str, vector_store_id: str) -> None:
        """Let a store go that is deleted or has expired."""
        now = clock.now()
        if await self._stores.searchable(project_id, [vector_store_id], now):
            return
        for table in await self._tables.of_store(vector_store_id):
            await self._index.drop(table)
            await self._tables.forget(table)
        failpoint("retrieval.store_dropped")
        if await self._stores.get(project_id, vector_store_id) is None:  # else it can still be looked at
            await self._claims.forget_store(vector_store_id)
        await self._stores.dropped(vector_store_id, now)

    async def _take_in(self, file: Document) -> None:
        claimed = await self._claims.claim(file, clock.now())
        if claimed is None:
            return
        if claimed["attempts"] > MOST_ATTEMPTS:
            await self._claims.fail(claimed, "server_error", GIVEN_UP)
            return
        failpoint("retrieval.claimed")
        work = asyncio.create_task(self._work(claimed))
        beat = asyncio.create_task(self._keep(claimed))
        try:
            await asyncio.wait([work, beat], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the service stops
            await _end(work, beat)
            with suppress(PyMongoError):
                await self._claims.release(claimed, clock.now(), counts=False)
            raise
        await _end(beat) if work.done() else await _end(work, beat)
        if not work.cancelled() and (error := work.exception()):
            await self._failed(claimed, error)
            return
        now = await self._claims.get(file["_id"])
        if now is not None and now["active_gen"] == claimed["gen"]:  # the lease ends with the work, too
            await self._shown(now)
        else:
            log.warning("a file was taken over, or is not wanted any more")
            await self._index.delete_exactly(await self._table(claimed), claimed["file_id"], claimed["gen"])

    async def _failed(self, file: Document, error: BaseException) -> None:
        if isinstance(error, ParseError):
            log.info("a file cannot be read", extra={"code": error.code, "reason": error.message})
            await self._claims.fail(file, error.code, error.message)
            return
        passing = isinstance(error, PASSING)
        log.log(
            logging.WARNING if passing else logging.CRITICAL, "a file could not be taken in", exc_info=error
        )
        await self._claims.release(file, clock.now() + RETRY_S * file["attempts"], counts=True)

    async def _work(self, file: Document) -> None:
        stages: dict[str, float] = {}
        began = time.monotonic()

        def passed(stage: str) -> None:
            nonlocal began
            stages[stage], began = round(time.monotonic() - began, 3), time.monotonic()

        text, ends, headings = await self._texts.of(file)
        passed("parsing")
        failpoint("retrieval.parsed")
        if not await self._claims.set_stage(file, "embedding", stages):
            raise asyncio.CancelledError
        embedder = await self._embedding.get()
        size, overlap = (file["chunking"][f"{name}_tokens"] for name in ("max_chunk_size", "chunk_overlap"))
        windows = await asyncio.to_thread(
            windows_of, text, ends, size=size, overlap=overlap, headings=headings
        )
        windows, texts, vectors = await embedded(embedder, text, windows)
        passed("embedding")
        failpoint("retrieval.embedded")
        if not await self._claims.set_stage(file, "indexing", stages):
            raise asyncio.CancelledError
        table = await self._table(file)
        await self._tables.note(table, clock.now())
        await self._index.put(table, file["file_id"], file["gen"], windows, texts, vectors)
        passed("indexing")
        failpoint("retrieval.indexed")
        used = sum(len(each.encode()) for each in texts) + (vectors.nbytes if vectors is not None else 0)
        fields = {
            "usage_bytes": used,
            "chunks": len({window.chunks[0] for window in windows}),
            "tokens": len(ends),
            "embedder": table.embedder,
            "stages": stages,
        }
        if not await self._claims.complete(file, fields, clock.now()):
            raise asyncio.CancelledError
        failpoint("retrieval.completed")
        log.info("took a file in", extra={"windows": len(windows), "stages": stages})

    async def _shown(self, file: Document) -> None:
        """Searches find it: clear away what was there before. What is lost of this, a sweeper does."""
        await self._tables.committed(await self._table(file), clock.now())
        if file["gen"] > 1:
            await self._clean(file)
        if not await self._in_use(file):
            await self.drop(file["project_id"], file["vector_store_id"])

    async def _clean(self, file: Document) -> None:
        """Remove the generations that do not count from the index."""
        below = file["active_gen"] if file["status"] == "completed" else file["gen"] + 1
        await self._delete(file, below)
        await self._claims.settle(file)

    async def _remove(self, file: Document) -> None:
        await self._delete(file, file["gen"] + 1)
        failpoint("retrieval.removed")
        await self._texts.forget_gone(file)
        await self._claims.settle(file)

    async def _delete(self, file: Document, below: int) -> None:
        if file["gen"] == 0:
            return  # nobody ever began
        for table in await self._tables.of_store(file["vector_store_id"]):
            await self._index.delete(table, file["file_id"], below=below)
            await self._tables.committed(table, clock.now())

    async def _table(self, file: Document) -> Table:
        embedder = await self._embedding.get()
        if embedder is None:
            return Table(file["vector_store_id"], NO_EMBEDDER, 0)
        return Table(file["vector_store_id"], embedder.id, embedder.dim)

    async def _in_use(self, file: Document) -> bool:
        store = file["vector_store_id"]
        return bool(await self._stores.searchable(file["project_id"], [store], clock.now()))

    async def _keep(self, file: Document) -> None:
        """Renew the lease; return when it is lost."""
        while True:
            await asyncio.sleep(self._renew_s)
            with suppress(PyMongoError):
                if not await self._claims.renew(file, clock.now()):
                    return


async def embedded(
    embedder: Embedder | None, text: str, windows: Sequence[Window]
) -> tuple[list[Window], list[str], Vectors | None]:
    """Return the windows, cut so that each is read to its end, with their texts and vectors."""
    whole = list(windows)
    texts = [_indexed(text, window) for window in whole]
    if embedder is None:
        return whole, texts, None
    fitting: list[Window] = []
    for _ in range(8):  # a window of 160 tokens needs one or two
        fits = await embedder.fits(texts)
        if all(fits):
            break
        fitting = []
        for window, fit in zip(whole, fits, strict=True):
            fitting += [window] if fit else halves(text, window)
        whole, texts = fitting, [_indexed(text, window) for window in fitting]
    parts = [
        await embedder.embed(texts[start : start + AT_ONCE], "document")
        for start in range(0, len(texts), AT_ONCE)
    ]
    return whole, texts, np.concatenate(parts)


def _indexed(text: str, window: Window) -> str:
    """What is indexed of a window: its text, below the headings that it stands under."""
    piece = text[window.start : window.end]
    return f"{window.heading}\n{piece}" if window.heading else piece


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
