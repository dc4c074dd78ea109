"""Files put into vector stores, and taken out of them: what clients see at once.

The documents change here; whoever takes files in and out of the index is told, and finds by itself
what it was not told.
"""

from collections.abc import Sequence
from typing import Literal

from services.gateway.announcer import Announcer
from services.gateway.auth import Caller
from services.gateway.lookup import existing_files, no_vector_store
from services.gateway.stores.all import Stores
from services.gateway.wire.vector_stores import MOST_FILES, NewFile
from shared import clock
from shared.errors import InvalidRequest
from shared.events import FileCommand
from shared.ids import new_sequence
from shared.runs.model import Json
from shared.stores.database import Document
from shared.stores.vector_store_files import Totals, new_file
from shared.stores.vector_stores import has_expired

NEW: Json = {"name": None, "description": None, "metadata": {}, "expires_after": None, "helper": False}


class Shelves:
    def __init__(self, stores: Stores, announcer: Announcer) -> None:
        self._stores = stores
        self._announcer = announcer

    async def create(
        self, caller: Caller, vector_store_id: str, fields: Json, files: Sequence[NewFile] = ()
    ) -> Document:
        """Make a vector store with ``files`` in it. Safe to repeat, also when it was half done.

        Raises:
            InvalidRequest: a file is not there.
        """
        found = await existing_files(self._stores, caller, [file.file_id for file in files])
        store = await self._stores.vector_stores.add(
            vector_store_id, caller.project_id, NEW | fields, clock.now()
        )
        await self._put(store, files, found)
        return store

    async def put(
        self, caller: Caller, store: Document, files: Sequence[NewFile], *, batch_id: str | None = None
    ) -> None:
        """Put ``files`` into ``store``; one that is there already stays as it is. Safe to repeat.

        Raises:
            InvalidRequest: a file is not there, they are too many, or the store has expired.
            NotFound: the store was deleted meanwhile.
        """
        require_unexpired(store)
        found = await existing_files(self._stores, caller, [file.file_id for file in files])
        await self._put(store, files, found, batch_id=batch_id)

    async def take_out(self, vector_store_id: str, project_id: str, file_id: str) -> bool:
        """Take a file out of its store; whether this call did."""
        if not await self._stores.vector_store_files.remove(vector_store_id, file_id, clock.now()):
            return False
        self._tell("removed", project_id, vector_store_id, file_id)
        return True

    async def forget_file(self, project_id: str, file_id: str) -> None:
        """No vector store has the file any more."""
        for vector_store_id in await self._stores.vector_store_files.remove_everywhere(file_id, clock.now()):
            self._tell("removed", project_id, vector_store_id, file_id)

    async def delete(self, project_id: str, vector_store_id: str) -> bool:
        """Delete a store, and forget it wherever it is named; whether this call deleted it.

        Its files stay files. That they were in it is forgotten by whoever drops its index.
        """
        stores = self._stores
        if not await stores.vector_stores.delete(project_id, vector_store_id, clock.now()):
            return False
        self._tell("dropped", project_id, vector_store_id)
        for named in (stores.assistants, stores.threads):
            await named.forget_vector_store(project_id, vector_store_id)
        await stores.file_batches.forget_store(vector_store_id)
        return True

    async def delete_helper(self, project_id: str, vector_store_id: str) -> None:
        """Delete a store that was made for an object that is gone, unless somebody else names it."""
        store = await self._stores.vector_stores.get(project_id, vector_store_id)
        if store is None or not store["helper"]:
            return
        for named in (self._stores.assistants, self._stores.threads):
            if await named.names_vector_store(project_id, vector_store_id):
                return
        await self.delete(project_id, vector_store_id)

    async def totals(self, vector_store_id: str) -> Totals:
        return await self._stores.vector_store_files.totals(vector_store_id)

    async def _put(
        self,
        store: Document,
        files: Sequence[NewFile],
        found: dict[str, Document],
        *,
        batch_id: str | None = None,
    ) -> None:
        if not files:
            return
        await self._make_room(store, len(files))
        now, seq = clock.now(), new_sequence()
        members = [
            new_file(
                found[file.file_id],
                store["_id"],
                seq=seq + place,
                now=now,
                chunking=file.chunking(),
                attributes=file.attributes or {},
                batch_id=batch_id,
            )
            for place, file in enumerate(files)
        ]
        added = await self._stores.vector_store_files.add(members)
        if await self._stores.vector_stores.get(store["project_id"], store["_id"]) is None:
            for file in added:
                await self.take_out(store["_id"], store["project_id"], file["file_id"])
            raise no_vector_store(store["_id"])
        self._announcer.files_changed(
            [
                FileCommand(
                    project_id=store["project_id"],
                    vector_store_id=store["_id"],
                    file_id=file["file_id"],
                    reason="added",
                )
                for file in added
            ]
        )

    async def _make_room(self, store: Document, files: int) -> None:
        """
        Raises:
            InvalidRequest: the store would have more files than it may.
        """
        stores = self._stores.vector_stores
        if await stores.make_room(store["_id"], files, most=MOST_FILES):
            return
        seen = await stores.get(store["project_id"], store["_id"])
        if seen is None:
            raise no_vector_store(store["_id"])
        there = sum((await self.totals(store["_id"])).files.values())
        await stores.set_most_files(seen, there)
        if not await stores.make_room(store["_id"], files, most=MOST_FILES):
            raise InvalidRequest(
                f"Vector store '{store['_id']}' cannot take {files} more files: it has {there}, "
                f"and may have at most {MOST_FILES}.",
                param="file_ids",
                code="array_above_max_length",
            )

    def _tell(
        self, reason: Literal["removed", "dropped"], project_id: str, vector_store_id: str, file_id: str = ""
    ) -> None:
        self._announcer.files_changed(
            [
                FileCommand(
                    project_id=project_id, vector_store_id=vector_store_id, file_id=file_id, reason=reason
                )
            ]
        )


def require_unexpired(store: Document) -> None:
    """
    Raises:
        InvalidRequest: the store has expired: it can be looked at, and that is all.
    """
    if has_expired(store, clock.now()):
        raise InvalidRequest(f"Vector store '{store['_id']}' is expired.", code="vector_store_expired")
