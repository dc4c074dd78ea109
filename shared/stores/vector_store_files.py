"""The files of vector stores in MongoDB, as clients see them: added, listed, counted, removed.

A file is ``in_progress`` until a worker has taken it in, and then ``completed`` or ``failed``. ``wake_at``
says when somebody should look at it in case that the worker was not told, or died; ``gen`` counts
the attempts to index it, and ``active_gen`` is the one that searches show, 0 for none. One that was removed
(``live`` is false) is in no search any more; it keeps its place, so that a cursor on it stays valid,
and its ``gen``: what is indexed after it was added once more can be told from what was before.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from shared.runs.model import Json
from shared.stores.database import ASCENDING, BulkWriteError, Collection, Database, Document
from shared.stores.page import PageQuery, find_page

RING_AFTER_S = 5.0  # a file that no worker took up by then is looked at by a sweeper
AT_ONCE = 500  # documents in one write
DUPLICATE = 11000  # the store's code for an id that is there already
IN_PROGRESS: Literal["in_progress"] = "in_progress"
FileStatus: TypeAlias = Literal["in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True)
class Totals:
    """How many files there are of each status, and the bytes that they use."""

    files: Mapping[str, int]
    usage_bytes: int


class VectorStoreFiles:
    def __init__(self, db: Database) -> None:
        self._files: Collection = db["vector_store_files"]

    async def create_indexes(self) -> None:
        for keys in (
            ("vector_store_id", "live", "seq"),
            ("batch_ids", "live", "seq"),
            ("file_id", "live"),
            ("wake_at",),
        ):
            await self._files.create_index([(key, ASCENDING) for key in keys])

    async def add(self, files: Sequence[Document]) -> list[Document]:
        """Put ``files`` (see ``new_file``) into their store; return those that are to be taken in.

        One that is there already stays as it is, unless it failed or was cancelled: then it is tried
        anew. Safe to repeat.
        """
        added = []
        for start in range(0, len(files), AT_ONCE):
            part = files[start : start + AT_ONCE]
            try:
                await self._files.insert_many([dict(file) for file in part], ordered=False)
            except BulkWriteError as error:
                there = {problem["index"] for problem in _duplicates(error)}
                added += [file for place, file in enumerate(part) if place not in there]
                added += [file for place in sorted(there) if await self._add_again(file := part[place])]
            else:
                added += part
        return added

    async def get(self, vector_store_id: str, file_id: str) -> Document | None:
        return await self._files.find_one({"_id": id_of(vector_store_id, file_id), "live": True})

    async def page(
        self,
        vector_store_id: str,
        query: PageQuery,
        *,
        batch_id: str | None = None,
        status: str | None = None,
    ) -> tuple[list[Document], bool]:
        """Cursors are ids of files. No index knows the status: the others are looked through."""
        scope: dict[str, Any] = {"live": True}
        scope |= {"vector_store_id": vector_store_id} if batch_id is None else {"batch_ids": batch_id}
        if status is not None:
            scope["status"] = status
        after, before = (each and id_of(vector_store_id, each) for each in (query.after, query.before))
        page = await find_page(
            self._files,
            scope,
            PageQuery(query.limit, query.order, after, before),
            owner={"vector_store_id": vector_store_id},
        )
        return page.documents, page.has_more

    async def some(self, vector_store_id: str, limit: int) -> list[Document]:
        """Return up to ``limit`` of its files, in no order that is promised."""
        found = self._files.find({"vector_store_id": vector_store_id, "live": True})
        return await found.limit(limit).to_list(limit)

    async def has(self, vector_store_id: str, status: FileStatus) -> bool:
        """Whether a file of the store has that ``status``."""
        query = {"vector_store_id": vector_store_id, "live": True, "status": status}
        return await self._files.find_one(query, {"_id": True}) is not None

    async def totals(self, vector_store_id: str) -> Totals:
        return await self._totals({"vector_store_id": vector_store_id, "live": True})

    async def totals_of_batch(self, batch_id: str) -> Totals:
        return await self._totals({"batch_ids": batch_id, "live": True})

    async def set_attributes(self, vector_store_id: str, file_id: str, attributes: Json) -> Document | None:
        """Return the file as it now is; None if there is none."""
        same = {"_id": id_of(vector_store_id, file_id), "live": True}
        await self._files.update_one(same, {"$set": {"attributes": attributes}})
        return await self._files.find_one(same)

    async def cancel_batch(self, batch_id: str, now: float) -> None:
        """What is not taken in yet will not be."""
        running = {"batch_ids": batch_id, "live": True, "status": IN_PROGRESS}
        cancelled = {"status": "cancelled", "stage": None, "wake_at": now}
        await self._files.update_many(running, {"$set": cancelled})

    async def remove(self, vector_store_id: str, file_id: str, now: float) -> bool:
        """Show it nowhere any more; whether this call did. It is to be taken out of the index."""
        same = {"_id": id_of(vector_store_id, file_id), "live": True}
        return (await self._files.update_one(same, _removed(now))).matched_count > 0

    async def remove_everywhere(self, file_id: str, now: float) -> list[str]:
        """Remove the file from every store; return the stores. Safe to repeat."""
        same = {"file_id": file_id, "live": True}
        found = [file["vector_store_id"] async for file in self._files.find(same, {"vector_store_id": True})]
        if found:
            await self._files.update_many(same, _removed(now))
        return found

    async def _add_again(self, file: Document) -> bool:
        """Whether it is to be taken in; ``file`` is there already, in whatever state."""
        same = {"_id": file["_id"]}
        fresh = {name: value for name, value in file.items() if name not in ("_id", "gen", "batch_ids")}
        taken_up = {name: value for name, value in fresh.items() if name not in ("seq", "created_at")}
        batches = {"$addToSet": {"batch_ids": {"$each": file["batch_ids"]}}}
        removed = await self._files.update_one(
            {**same, "live": False}, {"$set": {**fresh, "batch_ids": file["batch_ids"]}}
        )
        if removed.matched_count:
            return True
        broken = {**same, "live": True, "status": {"$in": ["failed", "cancelled"]}}
        if (await self._files.update_one(broken, {"$set": taken_up, **batches})).matched_count:
            return True
        if file["batch_ids"]:
            await self._files.update_one({**same, "live": True}, batches)
        return False

    async def _totals(self, scope: Document) -> Totals:
        group = {"_id": "$status", "files": {"$sum": 1}, "bytes": {"$sum": "$usage_bytes"}}
        files: Counter[str] = Counter()
        usage_bytes = 0
        async for each in self._files.aggregate([{"$match": scope}, {"$group": group}]):
            files[each["_id"]] = each["files"]
            usage_bytes += each["bytes"]
        return Totals(files, usage_bytes)


def id_of(vector_store_id: str, file_id: str) -> str:
    return f"{vector_store_id}:{file_id}"


def new_file(
    file: Document,
    vector_store_id: str,
    *,
    seq: int,
    now: float,
    chunking: Json,
    attributes: Json,
    batch_id: str | None = None,
) -> Document:
    """A stored ``file`` as a member of a vector store, about to be taken in.

    ``chunking``: max_chunk_size_tokens and chunk_overlap_tokens.
    """
    return {
        "_id": id_of(vector_store_id, file["_id"]),
        "project_id": file["project_id"],
        "vector_store_id": vector_store_id,
        "file_id": file["_id"],
        "seq": seq,
        "live": True,
        "created_at": int(now),
        "batch_ids": [batch_id] if batch_id else [],
        "attributes": attributes,
        "chunking": chunking,
        "filename": file["filename"],
        "status": IN_PROGRESS,
        "last_error": None,
        "usage_bytes": 0,
        "stage": "waiting",
        "stages": {},
        "gen": 0,
        "active_gen": 0,
        "owner": None,
        "until": 0.0,
        "attempts": 0,
        "wake_at": now + RING_AFTER_S,
        "embedder": None,
        "chunks": 0,
        "tokens": 0,
    }


def _removed(now: float) -> Document:
    return {"$set": {"live": False, "wake_at": now + RING_AFTER_S, "batch_ids": []}}


def _duplicates(error: BulkWriteError) -> list[Json]:
    """
    Raises:
        BulkWriteError: something else is wrong, too.
    """
    problems: list[Json] = (error.details or {}).get("writeErrors", [])
    if any(problem["code"] != DUPLICATE for problem in problems) or not problems:
        raise error
    return problems
