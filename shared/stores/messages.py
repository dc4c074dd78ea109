"""Messages in MongoDB, in the order of their threads.

``seq`` counts the messages of a thread from 1 without a gap; deleted ones keep their
place, so that a cursor on them stays valid. ``live`` marks what lists show.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from shared.errors import Stale
from shared.runs.model import Json, Run, Step
from shared.runs.views import message_view
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.page import PageQuery, find_page

MAX_TRIES = 20
BATCH = 100


class MessageStore:
    def __init__(self, db: Database) -> None:
        self._messages = db["messages"]

    async def create_indexes(self) -> None:
        await self._messages.create_index([("thread_id", ASCENDING), ("seq", ASCENDING)], unique=True)
        for keys in (
            ("thread_id", "live", "seq"),
            ("thread_id", "live", "run_id", "seq"),
            ("unpublished", "at"),
        ):
            await self._messages.create_index([(key, ASCENDING) for key in keys])

    async def add(self, message: Json, *, project_id: str, at: float) -> Document:
        """Append ``message`` (the API's v2 object) to its thread; return what is stored.

        Its creation is to be announced: see ``unpublished``.
        """
        document = {**_document(message, project_id), "unpublished": True, "at": at}
        return await self._append(document)

    async def write_step(self, run: Run, step: Step) -> None:
        """Make the thread show the message of ``step`` as the run holds it. Safe to repeat."""
        assert step.message_id is not None, "only message_creation steps have a message"
        message = message_view(run, step)
        state = {
            name: message[name]
            for name in (
                "status",
                "incomplete_details",
                "incomplete_at",
                "completed_at",
                "content",
                "attachments",
            )
        }
        if step.superseded:
            state["live"] = False
        if step.open:  # nothing was written into it yet
            await self._append(_document(message, run.project_id))
            return
        result = await self._messages.update_one({"_id": step.message_id}, {"$set": state})
        if result.matched_count == 0 and not step.superseded:
            await self._append(_document(message, run.project_id))

    async def get(self, thread_id: str, message_id: str) -> Document | None:
        """Return a message that was not deleted; a superseded draft is still found by its id."""
        found = await self._messages.find_one({"_id": message_id, "thread_id": thread_id})
        return None if found is None or found.get("deleted") else found

    async def page(
        self, thread_id: str, query: PageQuery, *, run_id: str | None = None
    ) -> tuple[list[Document], bool]:
        scope: dict[str, Any] = {"thread_id": thread_id, "live": True}
        if run_id is not None:
            scope["run_id"] = run_id
        page = await find_page(self._messages, scope, query, owner={"thread_id": thread_id})
        return page.documents, page.has_more

    async def last_seq(self, thread_id: str) -> int:
        last = await self._messages.find_one({"thread_id": thread_id}, {"seq": True}, sort=[("seq", -1)])
        return int(last["seq"]) if last else 0

    async def has_user_message(self, thread_id: str) -> bool:
        first = await self.first(thread_id)
        if first is None or first["role"] == "user":
            return first is not None
        query = {"thread_id": thread_id, "live": True, "role": "user"}  # rare: looks through the thread
        return await self._messages.find_one(query, {"_id": True}) is not None

    async def newest(self, thread_id: str, *, upto: int) -> AsyncGenerator[Document, None]:
        """Yield the thread's messages that have content, the one at ``upto`` first, back to the oldest."""
        query = {"thread_id": thread_id, "live": True, "seq": {"$lte": upto}}
        async for message in self._messages.find(query).sort("seq", -1).batch_size(BATCH):
            if message["content"]:
                yield message

    async def first(self, thread_id: str) -> Document | None:
        return await self._messages.find_one({"thread_id": thread_id, "live": True}, sort=[("seq", 1)])

    async def set_metadata(self, message_id: str, metadata: dict[str, str]) -> None:
        await self._messages.update_one({"_id": message_id}, {"$set": {"metadata": metadata}})

    async def delete(self, message_id: str, *, at: float) -> None:
        """Forget the content, keep the place; the deletion is to be announced."""
        gone = {"live": False, "deleted": True, "content": [], "metadata": {}, "unpublished": True, "at": at}
        await self._messages.update_one({"_id": message_id}, {"$set": gone})

    async def delete_thread(self, thread_id: str) -> None:
        await self._messages.delete_many({"thread_id": thread_id})

    async def unpublished(self, before: float, *, limit: int = 100) -> list[Document]:
        """Return messages that a client made or deleted before that time and nobody announced yet."""
        query = {"unpublished": True, "at": {"$lte": before}}
        return [message async for message in self._messages.find(query).limit(limit)]

    async def mark_published(self, message_ids: Sequence[str]) -> None:
        await self._messages.update_many(
            {"_id": {"$in": list(message_ids)}}, {"$unset": {"unpublished": True}}
        )

    async def _append(self, document: Document) -> Document:
        thread_id = document["thread_id"]
        for _ in range(MAX_TRIES):
            placed = {**document, "seq": await self.last_seq(thread_id) + 1}
            try:
                await self._messages.insert_one(placed)
            except DuplicateKeyError:
                if earlier := await self._messages.find_one({"_id": document["_id"]}):
                    return earlier  # a repeat of the same write
                continue  # somebody else took the place
            return placed
        raise Stale(f"could not append to {thread_id}")


def _document(message: Json, project_id: str) -> Document:
    fields = {name: value for name, value in message.items() if name not in ("id", "object")}
    return {"_id": message["id"], "project_id": project_id, **fields, "live": True}


def message_object(document: Document) -> Json:
    """The API's v2 object for a stored message."""
    order = (
        "created_at assistant_id thread_id run_id status incomplete_details incomplete_at completed_at "
        "role content attachments metadata"
    )
    return {"id": document["_id"], "object": "thread.message"} | {
        name: document[name] for name in order.split()
    }
