"""Collections whose members are numbered within their thread: ``seq`` counts from 1 without a gap.

The embedded store sorts whatever a filter leaves before it limits, so that a page of a long thread
would cost as much as the thread. But it is quick to look up numbers, and short ranges of them; and
without gaps, a number that is not there says where the end is.
"""

from collections.abc import AsyncGenerator

from shared.stores.database import ASCENDING, DESCENDING, Collection, Document

MOST_KNOWN = 10_000  # threads
WIDEST = 200  # members that are read at once


class Numbered:
    """``near``: how many members behind the last known one are looked at in one query."""

    def __init__(self, collection: Collection, *, near: int) -> None:
        self._collection = collection
        self._near = near
        self._known: dict[str, int] = {}  # by thread: the last number that was seen here

    def note(self, thread_id: str, seq: int) -> None:
        """The member ``seq`` was seen in the store: a place to begin to look, as others add members too."""
        self._known.pop(thread_id, None)
        self._known[thread_id] = seq
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def note_empty(self, thread_id: str) -> None:
        """The thread was made here, without a member."""
        if thread_id not in self._known:
            self.note(thread_id, 0)

    def seen(self, thread_id: str) -> int:
        """Return the last number that was seen here; 0 if none was."""
        return self._known.get(thread_id, 0)

    def behind(self, thread_id: str) -> int | None:
        """Return the last number as far as this process knows, without looking; None if it knows nothing."""
        return self._known.get(thread_id)

    async def last(self, thread_id: str) -> int:
        """Return the highest number in the thread; 0 if it has no member."""
        last = await self._last_from(thread_id, self.seen(thread_id) or 1)
        if last == 0 and self.seen(thread_id):
            del self._known[thread_id]
            last = await self._last_from(thread_id, 1)
        if last:
            self.note(thread_id, last)
        return last

    async def _last_from(self, thread_id: str, first: int) -> int:
        """Return the highest number if ``first`` exists, else 0: by doubling steps, then by halving them."""
        near = await self._last_within(thread_id, first)
        if near < first + self._near - 1:
            return near
        there, step = near, self._near
        while await self._exists(thread_id, there + step):
            there, step = there + step, step * 2
        missing = there + step
        while missing - there > self._near:
            middle = (there + missing) // 2
            if await self._exists(thread_id, middle):
                there = middle
            else:
                missing = middle
        return await self._last_within(thread_id, there)

    async def _last_within(self, thread_id: str, first: int) -> int:
        part = {"$gte": first, "$lt": first + self._near}
        found = self._collection.find({"thread_id": thread_id, "seq": part}, {"seq": True})
        return max([document["seq"] async for document in found], default=0)

    async def _exists(self, thread_id: str, seq: int) -> bool:
        found = await self._collection.find_one({"thread_id": thread_id, "seq": seq}, {"seq": True})
        return found is not None

    async def walk(
        self, thread_id: str, *, low: int = 1, high: int | None = None, descending: bool, width: int = 20
    ) -> AsyncGenerator[Document, None]:
        """Yield the members from ``low`` to ``high``, both included, by ranges that widen from ``width``."""
        if high is None and descending:
            high = await self.last(thread_id)
        while high is None or low <= high:
            if descending:
                assert high is not None, "a walk down begins somewhere"
                first, end = max(low, high - width + 1), high + 1
                high = first - 1
            else:
                first, end = low, low + width if high is None else min(low + width, high + 1)
                low = end
            found = await self._range(thread_id, first, end, descending)
            for document in found:
                yield document
            if not found and not descending:
                return
            width = min(width * 2, WIDEST)

    async def _range(self, thread_id: str, first: int, end: int, descending: bool) -> list[Document]:
        part = {"$gte": first, "$lt": end}
        found = self._collection.find({"thread_id": thread_id, "seq": part})
        return await found.sort("seq", DESCENDING if descending else ASCENDING).to_list(end - first)
