"""Messages in MongoDB, in the order of their threads.

``seq`` counts the messages of a thread from 1 without a gap; deleted ones keep their
place, so that a cursor on them stays valid. ``live`` marks what lists show.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from shared.errors import Stale
from shared.runs.model import Json, Run, Step
from shared.runs.views import message_view
from shared.stores.database import ASCENDING, Database, Document, DuplicateKeyError
from shared.stores.numbered import Numbered
from shared.stores.page import PageQuery, cursors, find_numbered_page, page_of

MAX_TRIES = 20
NEAR = 32


class MessageStore:
    def __init__(self, db: Database) -> None:
        self._messages = db["messages"]
        self._numbered = Numbered(self._messages, near=NEAR)

    async def create_indexes(self) -> None:
        """As few as will do: the embedded store reads all of them at each command."""
        await self._messages.create_index([("thread_id", ASCENDING), ("seq", ASCENDING)], unique=True)
        await self._messages.create_index(
            [("unpublished", ASCENDING), ("at", ASCENDING)],
            partialFilterExpression={"unpublished": True},
            name="to_be_announced",
        )

    async def add(self, message: Json, *, project_id: str, at: float, behind: int | None = None) -> Document:
        """Append ``message`` (the API's v2 object) to its thread; return what is stored.

        Its creation is to be announced: see ``unpublished``. ``behind``: the thread's last message so
        far, where that is known already.
        """
        document = {**_document(message, project_id), "unpublished": True, "at": at}
        return await self._append(document, behind)

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
            first = all(each is step or not each.message_id for each in run.steps)
            await self._append(_document(message, run.project_id), run.input_upto if first else None)
            return
        result = await self._messages.update_one({"_id": step.message_id}, {"$set": state})
        if result.matched_count:
            return
        # A withdrawn one too: its first owner, if it is only slow, must not put it into the thread later.
        found = await self._append({**_document(message, run.project_id), **state})
        if any(found.get(name) != value for name, value in state.items()):  # written in this very moment
            await self._messages.update_one({"_id": step.message_id}, {"$set": state})

    async def get(self, thread_id: str, message_id: str) -> Document | None:
        """Return a message that was not deleted; a superseded draft is still found by its id."""
        found = await self._messages.find_one({"_id": message_id})
        return found if found and found["thread_id"] == thread_id and not found.get("deleted") else None

    async def page(self, thread_id: str, query: PageQuery) -> tuple[list[Document], bool]:
        page = await find_numbered_page(self._messages, self._numbered, thread_id, query)
        return page.documents, page.has_more

    async def page_of_run(self, run: Run, query: PageQuery) -> tuple[list[Document], bool]:
        """Return a page of what ``run`` wrote into its thread: the run knows its messages."""
        owner = {"thread_id": run.thread_id}
        bounds = await cursors(self._messages, query, owner)
        ids = [step.message_id for step in run.steps if step.message_id]
        if bounds is None or not ids:
            return [], False
        found = self._messages.find({"_id": {"$in": ids}})
        page = page_of([message async for message in found if message["live"]], query, bounds)
        return page.documents, page.has_more

    async def last_seq(self, thread_id: str) -> int:
        return await self._numbered.last(thread_id)

    def seen_seq(self, thread_id: str) -> int:
        """Return the last one that this process has seen, without looking; the thread may have more."""
        return self._numbered.seen(thread_id)

    async def has_user_message(self, thread_id: str) -> bool:
        """Looks through the thread until it finds one, which is nearly always the first message."""
        async with aclosing(self._numbered.walk(thread_id, descending=False, width=1)) as members:
            async for member in members:
                if member["live"] and member["role"] == "user":
                    return True
        return False

    async def newest(self, thread_id: str, *, upto: int) -> AsyncGenerator[Document, None]:
        """Yield the thread's messages that have content, the one at ``upto`` first, back to the oldest."""
        async with aclosing(self._numbered.walk(thread_id, high=upto, descending=True)) as members:
            async for member in members:
                if member["live"] and member["content"]:
                    yield member

    async def first(self, thread_id: str) -> Document | None:
        async with aclosing(self._numbered.walk(thread_id, descending=False, width=1)) as members:
            async for member in members:
                if member["live"]:
                    return member
        return None

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

    async def _append(self, document: Document, behind: int | None = None) -> Document:
        thread_id = document["thread_id"]
        for _ in range(MAX_TRIES):
            last = await self.last_seq(thread_id) if behind is None else behind
            placed = {**document, "seq": last + 1}
            try:
                await self._messages.insert_one(placed)
            except DuplicateKeyError:
                if earlier := await self._messages.find_one({"_id": document["_id"]}):
                    return earlier  # a repeat of the same write
                behind = None
                continue  # somebody else took the place
            self._numbered.note(thread_id, placed["seq"])
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
