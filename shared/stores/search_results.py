"""What searches found, under the ids of their calls. Written before anybody is told that it is there.

One document a search: {_id: call id, project_id, run_id, thread_id, at, queries, results, error}. A result
is {file_id, file_name, vector_store_id, score (0..1, the same scale for every store), attributes, text (the
chunk), quote (its best passage), pages (or None), char_start, char_end (of the chunk, in the file's text)}.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.runs.model import Json
from shared.stores.database import ASCENDING, Database, Document

KEEP_S = 7 * 24 * 3600  # those that belong to no thread


@dataclass(frozen=True)
class Search:
    """Who searched for what. ``thread_id`` and ``run_id`` are empty for a client's own search."""

    call_id: str
    project_id: str
    run_id: str
    thread_id: str
    queries: tuple[str, ...]


class SearchResultStore:
    def __init__(self, db: Database) -> None:
        self._searches = db["search_results"]

    async def create_indexes(self) -> None:
        await self._searches.create_index([("thread_id", ASCENDING), ("at", ASCENDING)])

    async def put(self, search: Search, results: list[Json], error: str | None, now: float) -> None:
        """Keep what ``search`` found, best first, or why it could not be done. Safe to repeat."""
        document = {
            "project_id": search.project_id,
            "run_id": search.run_id,
            "thread_id": search.thread_id,
            "at": now,
            "queries": list(search.queries),
            "results": results,
            "error": error,
        }
        await self._searches.replace_one({"_id": search.call_id}, document, upsert=True)

    async def get(self, call_id: str) -> Document | None:
        return await self._searches.find_one({"_id": call_id})

    async def get_many(self, call_ids: Iterable[str]) -> dict[str, Document]:
        """Return those that are there, by the ids of their calls."""
        found = self._searches.find({"_id": {"$in": list(call_ids)}})
        return {document["_id"]: document async for document in found}

    async def delete_thread(self, thread_id: str) -> None:
        if not thread_id:
            raise ValueError("searches without a thread are not one thread's")
        await self._searches.delete_many({"thread_id": thread_id})

    async def forget_old(self, now: float) -> None:
        """Delete what clients searched for a week ago."""
        await self._searches.delete_many({"thread_id": "", "at": {"$lt": now - KEEP_S}})
