"""Milvus: the engine on servers of its own, for more than one machine's folder holds.

A collection for each table, so that no store's words weigh in another's. The client blocks, so it is
given threads.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors
from services.tool_retrieval.index.index import Hit, IndexAway, Table
from services.tool_retrieval.index.rows import COLUMNS, PLACES, hit_of, places_of
from shared.backoff import backoff_s

TRIES = 4  # to make a collection
AT_ONCE = 500  # rows in one request
MOST_TEXT = 65_535  # bytes that Milvus takes in a field
MISSING = ("not found", "not exist", "can't find")
T = TypeVar("T")


class MilvusIndex:
    """Connects at the first call. ``analyzer`` cuts the words: one of Milvus's, as ``english``."""

    def __init__(self, url: str, token: str, analyzer: str) -> None:
        self._url = url
        self._token = token
        self._analyzer = analyzer
        self._connecting: asyncio.Task[Any] | None = None
        self._made: set[str] = set()
        self._making = asyncio.Lock()

    async def open(self) -> Any:
        if self._connecting is None or (self._connecting.done() and self._connecting.exception()):
            self._connecting = asyncio.create_task(asyncio.to_thread(self._connect))
        try:
            return await asyncio.shield(self._connecting)
        except Exception as error:  # the client's own, and gRPC's
            raise IndexAway(f"Milvus does not answer: {error}") from error

    async def put(
        self,
        table: Table,
        file_id: str,
        gen: int,
        windows: Sequence[Window],
        texts: Sequence[str],
        vectors: Vectors | None,
    ) -> None:
        await self._make(table)
        rows = [
            {
                "id": f"{file_id}:{gen}:{number}",
                "file_id": file_id,
                "gen": gen,
                **dict(zip(PLACES, places_of(window), strict=True)),
                "heading": window.heading,
                "text": text.encode()[:MOST_TEXT].decode(errors="ignore"),
                **({"vector": vectors[number].tolist()} if vectors is not None and table.dim else {}),
            }
            for number, (window, text) in enumerate(zip(windows, texts, strict=True))
        ]
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            await self._ask(lambda client, part=part: client.upsert(_name(table), part))  # type: ignore[misc]

    async def delete(self, table: Table, file_id: str, *, below: int) -> None:
        await self._delete(table, f"file_id == {_quoted(file_id)} and gen < {below}")

    async def delete_exactly(self, table: Table, file_id: str, gen: int) -> None:
        await self._delete(table, f"file_id == {_quoted(file_id)} and gen == {gen}")

    async def drop(self, table: Table) -> None:
        self._made.discard(table.name)
        await self._ask(lambda client: client.drop_collection(_name(table)))

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
        only = "" if file_ids is None else f"file_id in [{', '.join(map(_quoted, sorted(file_ids)))}]"
        with_vector = vector is not None and table.dim > 0
        fields = ["id", *COLUMNS, *(["vector"] if with_vector else [])]

        def leg(data: Any, field: str, metric: str) -> Callable[[Any], Any]:
            return lambda client: client.search(
                _name(table),
                data=[data],
                anns_field=field,
                search_params={"metric_type": metric},
                limit=limit,
                filter=only,
                output_fields=fields,
            )

        legs = [leg(query, "words", "BM25")] if query.strip() else []
        if vector is not None and with_vector:
            legs.append(leg(vector.tolist(), "vector", "COSINE"))
        found = await asyncio.gather(*(self._ask(each) for each in legs))
        by_words = found[0] if query.strip() else None
        hits: dict[str, Hit] = {}
        for answer in found:
            for each in answer[0] if answer else ():
                row = each["entity"]
                cosine = float(np.dot(row["vector"], vector)) if with_vector else None  # type: ignore[arg-type]
                bm25 = abs(each["distance"]) if answer is by_words else 0.0  # Milvus Lite gives it negative
                hits.setdefault(row["id"], hit_of(row, cosine, bm25))
        return list(hits.values())

    async def generations(self, table: Table) -> set[tuple[str, int]]:
        def read(client: Any) -> set[tuple[str, int]]:
            found: set[tuple[str, int]] = set()
            rows = client.query_iterator(
                _name(table), batch_size=AT_ONCE, filter="gen > 0", output_fields=["file_id", "gen"]
            )
            try:
                while part := rows.next():
                    found |= {(row["file_id"], row["gen"]) for row in part}
            finally:
                rows.close()
            return found

        return await self._ask(read) or set()

    async def maintain(self, table: Table) -> None:
        """Milvus looks after itself."""

    async def close(self) -> None:
        if self._connecting is None:
            return
        await asyncio.wait([self._connecting])
        if not self._connecting.exception():
            await asyncio.to_thread(self._connecting.result().close)

    async def _delete(self, table: Table, which: str) -> None:
        await self._ask(lambda client: client.delete(_name(table), filter=which))

    async def _ask(self, question: Callable[[Any], T]) -> T | None:
        """Return the answer; None if there is no such collection."""
        client = await self.open()
        try:
            return await asyncio.to_thread(question, client)
        except Exception as error:  # the client's own, and gRPC's
            if any(said in str(error).lower() for said in MISSING):
                self._made.clear()
                return None
            raise IndexAway(f"Milvus does not answer: {error}") from error

    async def _make(self, table: Table) -> None:
        if table.name in self._made:
            return
        async with self._making:
            client = await self.open()
            for attempt in range(1, TRIES + 1):
                try:
                    await asyncio.to_thread(_create, client, table, self._analyzer)
                    break
                except Exception as error:  # as above; or another worker makes it right now
                    if attempt == TRIES:
                        raise IndexAway(f"Milvus does not answer: {error}") from error
                await asyncio.sleep(backoff_s(attempt, first_s=0.1, most_s=1.0))
            self._made.add(table.name)

    def _connect(self) -> Any:
        from pymilvus import MilvusClient

        return MilvusClient(uri=self._url, token=self._token)


def _create(client: Any, table: Table, analyzer: str) -> None:
    from pymilvus import DataType, Function, FunctionType

    if client.has_collection(_name(table)):
        return
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=256)
    schema.add_field("file_id", DataType.VARCHAR, max_length=128)
    for name in ("gen", *PLACES):
        schema.add_field(name, DataType.INT64)
    schema.add_field("heading", DataType.VARCHAR, max_length=4096)
    schema.add_field(
        "text",
        DataType.VARCHAR,
        max_length=MOST_TEXT,
        enable_analyzer=True,
        analyzer_params={"type": analyzer},
    )
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["words"])
    )
    indexes = client.prepare_index_params()
    indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    if table.dim:
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=table.dim)
        indexes.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
    client.create_collection(_name(table), schema=schema, index_params=indexes, consistency_level="Strong")


def _name(table: Table) -> str:
    """Milvus takes letters, digits and underscores."""
    return table.name.replace("-", "_")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
