"""LanceDB: files in a folder or a bucket, read and written by many processes, each change one commit."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors
from services.tool_retrieval.index.index import Hit, IndexAway, Table
from services.tool_retrieval.index.rows import COLUMNS, hits_of, rows_of, schema_of
from shared.backoff import backoff_s

log = logging.getLogger(__name__)

TRIES = 10  # of a commit, while others commit
READ_TRIES = 3  # of a query that misses something which was there
MOST_OPEN = 256  # tables
CACHE_BYTES = 192 << 20  # of indexes, and as much of what is known about files; by default gigabytes
KEEP_VERSIONS = timedelta(minutes=10)  # for who reads them
FLAT_FROM = 4_000  # windows; from here on vectors are kept in memory, and all of them compared as before
PARTED_FROM = 50_000  # from here on they are kept in 8 bits, and those of the nearest parts compared
PARTS, PART_WINDOWS = 16, 8_192  # four times as many parts when each would hold more
PROBED = 32  # parts
MOST_ADDED = 8  # pieces that an index of vectors grew by, before it is made anew: each is searched by itself
T = TypeVar("T")


class LanceIndex:
    """Opened by the first call: the library takes seconds to import."""

    def __init__(self, url: str, options: dict[str, str] | None = None) -> None:
        self._url = url
        self._options = options
        self._opening: asyncio.Task[Any] | None = None
        self._tables: OrderedDict[str, Any] = OrderedDict()
        self._made: dict[str, asyncio.Lock] = {}

    async def open(self) -> Any:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def put(
        self,
        table: Table,
        file_id: str,
        gen: int,
        windows: Sequence[Window],
        texts: Sequence[str],
        vectors: Vectors | None,
    ) -> None:
        rows = await asyncio.to_thread(rows_of, table, file_id, gen, windows, texts, vectors)

        tried = False

        async def write(opened: Any) -> None:
            # Adding costs a third of merging. After an error it may have been done all the same.
            nonlocal tried
            if not tried:
                tried = True
                await opened.add(rows)
                return
            merge = opened.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            await merge.execute(rows)

        await self._change(table, write, make=True)

    async def delete(self, table: Table, file_id: str, *, below: int) -> None:
        await self._change(
            table, lambda opened: opened.delete(f"file_id = {_quoted(file_id)} AND gen < {below}")
        )

    async def delete_exactly(self, table: Table, file_id: str, gen: int) -> None:
        await self._change(
            table, lambda opened: opened.delete(f"file_id = {_quoted(file_id)} AND gen = {gen}")
        )

    async def drop(self, table: Table) -> None:
        db = await self.open()
        self._tables.pop(table.name, None)
        try:
            await db.drop_table(table.name, ignore_missing=True)
        except (RuntimeError, OSError, ValueError) as error:
            raise IndexAway(f"a table could not be dropped: {error}") from error

    async def search(
        self,
        table: Table,
        query: str,
        vector: Vectors | None,
        *,
        limit: int,
        file_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        if file_ids is not None and not file_ids:
            return []
        only = None if file_ids is None else f"file_id IN ({', '.join(map(_quoted, sorted(file_ids)))})"
        if not table.dim:
            vector = None
        columns = ["id", *COLUMNS]
        found_by_words = [*columns, "_score", *(["vector"] if vector is not None else [])]

        async def ask(opened: Any) -> list[Any]:
            legs = [opened.query().nearest_to_text(query, columns=["text"]).select(found_by_words)]
            if vector is not None:
                nearest = opened.query().nearest_to(vector).column("vector").distance_type("cosine")
                nearest = nearest.nprobes(PROBED)
                if await _has_parts(opened):  # or the distances would be those of 8 bits, on another scale
                    nearest = nearest.refine_factor(1)
                legs.append(nearest.select([*columns, "_distance"]))
            if only is not None:
                legs = [leg.where(only) for leg in legs]
            return await asyncio.gather(*(leg.limit(limit).to_arrow() for leg in legs))

        return hits_of(await self._read(table, ask) or [], vector)

    async def generations(self, table: Table) -> set[tuple[str, int]]:
        found = await self._read(table, lambda opened: opened.query().select(["file_id", "gen"]).to_arrow())
        if found is None:
            return set()
        pairs = found.group_by(["file_id", "gen"]).aggregate([])
        return set(zip(pairs["file_id"].to_pylist(), pairs["gen"].to_pylist(), strict=True))

    async def maintain(self, table: Table) -> None:
        async def tidy(opened: Any) -> None:
            await opened.optimize(cleanup_older_than=KEEP_VERSIONS)
            if table.dim:
                await _index_vectors(opened, await opened.count_rows())

        await self._change(table, tidy)

    async def close(self) -> None:
        if self._opening is None:
            return
        self._opening.cancel()
        await asyncio.wait([self._opening])
        for opened in self._tables.values():
            opened.close()

    async def _open(self) -> Any:
        def load() -> Any:
            import lancedb

            return lancedb

        lancedb = await asyncio.to_thread(load)
        at_once = timedelta(0)  # what another process committed is seen
        session = lancedb.Session(index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES)
        return await lancedb.connect_async(
            self._url,
            read_consistency_interval=at_once,
            storage_options=self._options,
            session=session,
        )

    async def _change(
        self, table: Table, change: Callable[[Any], Awaitable[T]], *, make: bool = False
    ) -> None:
        """Commit ``change``; again, while the commits of others come between."""
        for attempt in range(1, TRIES + 1):
            try:
                opened = await self._table(table, make=make)
                if opened is not None:
                    await change(opened)
                return
            except (RuntimeError, OSError, ValueError) as error:
                self._tables.pop(table.name, None)
                if attempt == TRIES:
                    raise IndexAway(f"the index could not be changed: {error}") from error
                log.info("changing the index again", extra={"reason": str(error)[:300], "attempt": attempt})
                await asyncio.sleep(backoff_s(attempt, first_s=0.05, most_s=2.0))

    async def _read(self, table: Table, ask: Callable[[Any], Awaitable[T]]) -> T | None:
        """Return what ``ask`` finds; None if there is no such table. A part that others tidied away is
        no sign of that: then the table is opened anew."""
        for attempt in range(1, READ_TRIES + 1):
            opened = await self._table(table, make=False)
            if opened is None:
                return None
            try:
                return await ask(opened)
            except (RuntimeError, OSError, ValueError) as error:
                self._tables.pop(table.name, None)
                if attempt == READ_TRIES or not _is_gone(error):
                    raise IndexAway(f"the index does not answer: {error}") from error
        raise AssertionError("unreachable")

    async def _table(self, table: Table, *, make: bool) -> Any:
        if (opened := self._tables.get(table.name)) is not None:
            self._tables.move_to_end(table.name)
            return opened
        db = await self.open()
        async with self._made.setdefault(table.name, asyncio.Lock()):
            if (opened := self._tables.get(table.name)) is not None:
                return opened
            try:
                opened = await db.open_table(table.name)
            except (ValueError, RuntimeError, OSError) as error:
                if not _is_gone(error):
                    raise IndexAway(f"the index does not answer: {error}") from error
                if not make:
                    return None
                opened = await db.create_table(table.name, schema=schema_of(table), exist_ok=True)
            if make:
                await _prepare(opened)
            self._tables[table.name] = opened
            if len(self._tables) > MOST_OPEN:
                self._tables.popitem(last=False)  # whoever uses it now keeps it until then
        self._made.pop(table.name, None)
        return opened


async def _prepare(opened: Any) -> None:
    """Declare the key, without which two writers could add a row twice, and index the words.

    Another process may be at it too: what it did is found, and what fails is tried again by the caller.
    """
    from lancedb.index import FTS

    key = (await opened.schema()).field("id").metadata or {}
    if not any(b"primary-key" in name for name in key):
        await opened.set_unenforced_primary_key("id")
    if not any(index.columns == ["text"] for index in await opened.list_indices()):
        config = FTS(with_position=False, language="English", stem=True, remove_stop_words=True)
        await opened.create_index("text", config=config, replace=False)


async def _has_parts(opened: Any) -> bool:
    kinds = [index.index_type for index in await opened.list_indices() if index.columns == ["vector"]]
    return kinds not in ([], ["IvfFlat"])


async def _index_vectors(opened: Any, windows: int) -> None:
    """Have the index that suits so many windows. Its name says what it is made for."""
    from lancedb.index import IvfFlat, IvfSq

    parts = _parts(windows)
    if not parts:
        return
    name = f"vector_{parts}"
    present = [index for index in await opened.list_indices() if index.columns == ["vector"]]
    if any(index.name == name and index.num_segments <= MOST_ADDED for index in present):
        return
    for index in present:
        if index.name != name:
            await opened.drop_index(index.name)
    kind = IvfFlat if parts == 1 else IvfSq
    config = kind(distance_type="cosine", num_partitions=parts)
    await opened.create_index("vector", config=config, name=name, replace=True)


def _parts(windows: int) -> int:
    """How many parts the vectors of so many windows are kept in; 0 for none."""
    if windows < PARTED_FROM:
        return int(windows >= FLAT_FROM)
    parts = PARTS
    while windows > parts * PART_WINDOWS:
        parts *= 4
    return parts


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_gone(error: Exception) -> bool:
    said = str(error).lower()
    return "not found" in said or "no such file" in said or "does not exist" in said
