"""The POST requests in hand, so that one whose answer did not arrive is not done twice.

A request costs one write before it is done. What became of it is written in batches, later:
an answer that arrived takes the record away; one that did not leaves it to whoever asks again.
"""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from services.gateway.attempt import Attempt, new_seed
from services.gateway.connections import Connection
from services.gateway.stores.requests import NOBODY, RequestStore
from shared import clock
from shared.errors import InvalidRequest
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.runs.model import Json
from shared.stores.database import Document, PyMongoError
from shared.tasks import in_background

log = logging.getLogger(__name__)

LEASE_S = 6.0  # how long a gateway that says nothing is believed to be at work
RENEW_EVERY_S = 2.0
SWEEP_EVERY_S = 60.0
REPEATED_WITHIN_S = 120.0
NAMED_FOR_S = 24 * 3600.0  # by an Idempotency-Key

# An answer is taken for arrived if its connection is still open shortly after the last byte: one that
# was lost on the way is found out by the client, which then closes it and asks again at once.
SETTLED_AFTER_S = 0.25
DOUBTED_FOR_S = 5.0
PATIENCE_S = 10.0
LOOK_EVERY_S = 0.1

OTHER_REQUEST = (
    "Keys for idempotent requests can only be used for the same request they were first used for. "
    "Use another 'Idempotency-Key', or send the request as it was."
)
IN_HAND = "A request with the same 'Idempotency-Key' is still being processed. Please try again later."


@dataclass(frozen=True)
class Entry:
    """A request that is being done here. ``answer``: what it was answered before, if that was kept."""

    record_id: str
    attempt: Attempt
    answer: Json | None = None


class Ledger:
    def __init__(self, requests: RequestStore) -> None:
        self._requests = requests
        self._owner = new_id("gateway")
        self._open: dict[str, float] = {}  # by record: when it was begun
        self._arrived: list[str] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._background = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> Self:
        for work in (self._keep_renewed(), self._keep_swept(), self._keep_forgetting()):
            await self._background.enter_async_context(in_background(work))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settling:
            await asyncio.wait(self._settling, timeout=2 * SETTLED_AFTER_S)
        await self._background.aclose()
        await self._forget_arrived()

    async def begin(self, request: str) -> Entry:
        """Note that ``request`` (what makes two alike) is about to be done, for the first time."""
        seed, now = new_seed(), clock.now()
        record = self._record(seed, seed, now, now + REPEATED_WITHIN_S) | {"request": request}
        await self._requests.add(record)
        failpoint("gateway.request_noted")
        return self._opened(seed, Attempt(seed))

    async def begin_again(self, request: str, *, in_doubt: bool) -> Entry:
        """The client says that it has asked before: take up what was not answered, if anything.

        What a gateway had in hand when it died may have been answered: that is taken up ``in_doubt`` only.
        """
        deadline = clock.now() + PATIENCE_S
        waiting: set[str] | None = None  # for those that were in hand at the first look
        while clock.now() < deadline:
            now = clock.now()
            found = await self._requests.unanswered(request, now)
            if not in_doubt:
                found = [record for record in found if record["owner"] == NOBODY or record["until"] > now]
            for record in sorted(found, key=lambda record: -float(record["gone_at"])):
                if record["until"] <= now and await self._claim(record, REPEATED_WITHIN_S):
                    return self._opened(record["_id"], Attempt(record["seed"], again=True))
            ids = {record["_id"] for record in found}
            waiting = ids if waiting is None else waiting & ids
            if not waiting:
                return await self.begin(request)
            await asyncio.sleep(LOOK_EVERY_S)
        return await self.begin(request)  # those are somebody else's

    async def begin_named(self, name: str, request: str) -> Entry:
        """The client names its request: one of that name is done once.

        Raises:
            InvalidRequest: the name stands for another request, or it is still being done.
        """
        seed, now = new_seed(), clock.now()
        record = self._record(name, seed, now, now + NAMED_FOR_S) | {"same_as": request, "answer": None}
        deadline = now + PATIENCE_S
        while not await self._requests.add(record):
            found = await self._requests.get(name)
            if found is None:
                continue
            if found["gone_at"] <= clock.now():
                await self._requests.forget([name], found["owner"])
                continue
            if found["same_as"] != request:
                raise InvalidRequest(OTHER_REQUEST, code="idempotency_key_reused")
            if found["answer"] is not None:
                return Entry(name, Attempt(found["seed"], again=True), found["answer"])
            if found["until"] <= clock.now() and await self._claim(found, NAMED_FOR_S):
                return self._opened(name, Attempt(found["seed"], again=True))
            if clock.now() > deadline:
                raise InvalidRequest(IN_HAND, code="idempotency_key_in_use")
            await asyncio.sleep(LOOK_EVERY_S)
        return self._opened(name, Attempt(seed))

    def sent(self, entry: Entry, connection: Connection) -> None:
        """The last byte has left; soon it will be known whether it arrived."""
        task = asyncio.create_task(self._settle(entry, connection))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def lost(self, entry: Entry, *, for_s: float = REPEATED_WITHIN_S) -> None:
        """It was not answered: whoever asks again takes it up."""
        self._open.pop(entry.record_id, None)
        try:
            await self._requests.let_go(entry.record_id, self._owner, clock.now() + for_s)
        except PyMongoError as error:  # then the lease lapses
            log.warning("an unanswered request is left to lapse", extra={"reason": repr(error)})

    async def keep(self, entry: Entry, answer: Json) -> None:
        """Keep the answer of a named request."""
        self._open.pop(entry.record_id, None)
        await self._requests.keep_answer(entry.record_id, self._owner, answer)

    def close_connections(self) -> None:
        """The gateway stops: from now on it is who closes, which says nothing of what arrived."""
        self._closing = True

    def drop(self, entry: Entry) -> None:
        """Nothing was done, or the answer arrived: the record has no use any more."""
        self._open.pop(entry.record_id, None)
        self._arrived.append(entry.record_id)

    async def _settle(self, entry: Entry, connection: Connection) -> None:
        await asyncio.sleep(SETTLED_AFTER_S)
        if connection.cut and not self._closing:
            await self.lost(entry, for_s=DOUBTED_FOR_S)
        else:
            self.drop(entry)

    def _record(self, record_id: str, seed: str, now: float, gone_at: float) -> Document:
        return {
            "_id": record_id,
            "seed": seed,
            "owner": self._owner,
            "until": now + LEASE_S,
            "gone_at": gone_at,
        }

    async def _claim(self, record: Document, kept_s: float) -> bool:
        now = clock.now()
        return await self._requests.claim(record, self._owner, now + LEASE_S, now + kept_s)

    def _opened(self, record_id: str, attempt: Attempt) -> Entry:
        self._open[record_id] = time.monotonic()
        return Entry(record_id, attempt)

    async def _keep_renewed(self) -> None:
        """Stay the owner of what takes long, like an event stream."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            long_ago = time.monotonic() - RENEW_EVERY_S / 2
            if not any(begun < long_ago for begun in self._open.values()):
                continue
            try:
                await self._requests.renew([*self._open], self._owner, clock.now() + LEASE_S)
            except PyMongoError as error:
                log.warning("the requests in hand were not renewed", extra={"reason": repr(error)})

    async def _keep_forgetting(self) -> None:
        while True:
            await asyncio.sleep(SETTLED_AFTER_S)
            await self._forget_arrived()

    async def _forget_arrived(self) -> None:
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        try:
            await self._requests.forget(arrived, self._owner)
        except PyMongoError as error:  # they lapse
            log.warning("answered requests were not forgotten", extra={"reason": repr(error)})

    async def _keep_swept(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self._requests.forget_old(clock.now())
            except PyMongoError as error:
                log.warning("old requests were not forgotten", extra={"reason": repr(error)})
