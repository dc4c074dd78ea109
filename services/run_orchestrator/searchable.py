"""The vector stores of a run: whether they can be searched, and what the model is told of them."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from services.run_orchestrator.file_search import FILE_SEARCH, vector_stores
from shared import clock
from shared.runs.model import Run
from shared.stores.database import Document
from shared.stores.vector_store_files import VectorStoreFiles
from shared.stores.vector_stores import VectorStores, has_expired

MOST_NAMES = 20
LONGEST_NAME = 120  # characters
LOOK_FIRST_S = 0.1
LOOK_MOST_S = 1.0
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_STATES = {
    "completed": f"Files that {FILE_SEARCH} can find passages in",
    "in_progress": "Not ready to be searched yet",
    "failed": "Could not be read, and so cannot be searched",
}


class StoreExpired(Exception):
    """A vector store of the run expired; the text is for the client."""


class RunStores:
    def __init__(self, stores: VectorStores, files: VectorStoreFiles, *, wait_s: float) -> None:
        self._stores = stores
        self._files = files
        self._wait_s = wait_s

    async def ready(self, run: Run, aside: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Note that a run that begins uses its stores, and wait while they take files in.

        For ``wait_s`` after its start at most, and in ``aside``, where it is in nobody's way. It waits for
        the files of its thread; for its assistant's only if nothing of that can be searched yet.

        Raises:
            StoreExpired: one of them has.
            PyMongoError: the store does not answer.
        """
        ids = vector_stores(run)
        if not ids or run.turn > 1:
            return
        now = clock.now()
        for vector_store_id, store in (await self._stores.get_many(run.project_id, ids)).items():
            if has_expired(store, now):
                raise StoreExpired(f"Vector store {vector_store_id} has expired.")
        await self._stores.used(run.project_id, ids, now)
        if await self._unready(run):
            async with aside():
                await self._wait(run, until=(run.started_at or now) + self._wait_s)

    async def described(self, run: Run) -> str:
        """Name the files that the run may search, the first ones of each store."""
        told = [await self._files.some(each, MOST_NAMES + 1) for each in vector_stores(run)]
        return description([file for files in told for file in files])

    async def _wait(self, run: Run, *, until: float) -> None:
        pause_s = LOOK_FIRST_S
        while clock.now() < until and await self._unready(run):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LOOK_MOST_S)

    async def _unready(self, run: Run) -> bool:
        for each in vector_stores(run):
            awaited = each in run.settings.awaited_stores or not await self._files.has(each, "completed")
            if awaited and await self._files.has(each, "in_progress"):
                return True
        return False


def description(files: Sequence[Document]) -> str:
    lines = []
    for status, text in _STATES.items():
        names = dict.fromkeys(_name(file) for file in files if file["status"] == status)
        if names:
            more = " and others" if len(names) > MOST_NAMES else ""
            lines.append(f"{text}: {', '.join([*names][:MOST_NAMES])}{more}.")
    return "\n".join(lines)


def _name(file: Document) -> str:
    return _NO_NAME.sub("_", file["filename"])[:LONGEST_NAME]
