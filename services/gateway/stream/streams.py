"""Open event streams: what the routes use."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self

from services.gateway.stream.bell import Bell
from services.gateway.stream.frames import Arrived
from services.gateway.stream.inbox import Inbox
from services.gateway.stream.lease import SlotLease
from services.gateway.stream.listener import Listener
from services.gateway.stream.pace import Pace
from services.gateway.stream.places import Place
from services.gateway.stream.reading import Reading
from services.gateway.stream.sequence import Sequence
from services.gateway.stream.watch import Watch
from shared import metrics
from shared.errors import Unavailable
from shared.ids import new_id
from shared.runs.model import Run, Slot
from shared.runs.views import Named
from shared.settings import ServiceSettings
from shared.stores.database import Database
from shared.stores.runs import RunStore
from shared.topics import RUN_STREAM

log = logging.getLogger(__name__)

STANDARD = Pace()


class Streams:
    """All event streams of this process. Neither Kafka nor the store has to be there."""

    def __init__(
        self, settings: ServiceSettings, db: Database, runs: RunStore, *, pace: Pace = STANDARD
    ) -> None:
        self._runs = runs
        self._pace = pace
        self._lease = SlotLease(db, new_id("gateway"), pace)
        self._listener = Listener(settings, self._deliver, self._changed, pace)
        self._slot = random.randrange(RUN_STREAM.partitions)  # until one is leased
        self._inboxes: dict[str, Inbox] = {}
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(self._pace.start_s):
                await self._ready.wait()
        except TimeoutError:
            pass  # streams live from the store until Kafka is there
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_all()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._lease.release()

    @property
    def live(self) -> bool:
        """Whether frames come from Kafka now."""
        return self.reads(self._slot)

    def reads(self, slot: int) -> bool:
        """Whether frames for ``slot`` come from Kafka now."""
        return self._listener.slot == slot

    def open(self) -> "Stream":
        """Draw a stream. Frames are kept for it from now on, until it is closed."""
        slot, inbox = self._draw()
        return Stream(self, slot, inbox, self._runs, self._pace)

    def bell(self) -> Bell:
        """Draw a bell for somebody else to ring, through Kafka as well."""
        slot, inbox = self._draw()
        return Bell(slot, inbox, self.forget)

    def end_all(self) -> None:
        """End every open stream with an error its client can act on: the process stops."""
        for inbox in self._inboxes.values():
            inbox.close()

    def forget(self, stream: str) -> None:
        self._inboxes.pop(stream, None)
        metrics.STREAMS.set(len(self._inboxes))

    def _draw(self) -> tuple[Slot, Inbox]:
        slot = Slot(slot=self._slot, stream=new_id("stream"))
        inbox = self._inboxes[slot.stream] = Inbox()
        metrics.STREAMS.set(len(self._inboxes))
        return slot, inbox

    async def _listen(self) -> None:
        """Lease a slot and read it; another one if the lease is lost."""
        try:
            while True:
                self._slot = await self._lease.take()
                await self._read_slot()
        except Exception:  # nobody waits for this task before the end
            log.exception("no slot is read any more: streams live from the store")
            raise

    async def _read_slot(self) -> None:
        listening = asyncio.create_task(self._listener.listen(self._slot))
        try:
            await self._lease.hold()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _deliver(self, stream: str, frame: Arrived, size: int) -> None:
        inbox = self._inboxes.get(stream)
        if inbox is not None:  # else its client has gone, or it is another gateway's in a shared slot
            inbox.put(frame, size)

    def _changed(self) -> None:
        """Kafka came or went: each stream looks at its clock again."""
        if self._listener.slot is not None:
            self._ready.set()
        for inbox in self._inboxes.values():
            inbox.wake.set()


class Stream:
    """One client that follows one run. ``slot`` must be in the run before what it should see happens."""

    def __init__(self, streams: Streams, slot: Slot, inbox: Inbox, runs: RunStore, pace: Pace) -> None:
        self.slot = slot
        self._streams = streams
        self._inbox = inbox
        self._runs = runs
        self._pace = pace
        self._reading: Reading | None = None

    async def follow(self, run: Run, *, after: int) -> AsyncGenerator[Named | None, None]:
        """Yield (event name, v2 object) for what happens to ``run`` after its event ``after``.

        What ``run`` already holds comes first. None means: 15 s of silence, send a ping. Ends
        behind ``thread.run.requires_action`` or the run's last event. Objects may be shared with
        other streams: change none.

        Raises:
            Unavailable: the store is away long after the run expired, or the gateway stops.
            NotFound: the run was deleted.
        """
        async with aclosing(self._follow(run, Sequence(run.id, after=after))) as told:
            async for batch in told:
                for named in batch or (None,):
                    yield named

    async def follow_to_end(self, run: Run, begin: Place) -> AsyncGenerator[tuple[str, Named] | None, None]:
        """As ``follow``, behind ``begin`` and to the run's end, each pair with the place behind it."""
        sequence = Sequence(run.id, after=begin.seq, to_end=True)
        sequence.resume(run, begin.known)
        async with aclosing(self._follow(run, sequence)) as told:
            async for batch in told:
                if not batch:
                    yield None
                for placed in zip(sequence.places, batch, strict=False):
                    yield placed

    async def _follow(self, run: Run, sequence: Sequence) -> AsyncGenerator[list[Named], None]:
        """Yield what is due together; nothing means: send a ping."""
        if due := sequence.absorb(run):
            yield due
        reading = Reading(self._runs, run, self._inbox.wake, patience_s=self._pace.patience_s)
        self._reading = reading
        now = asyncio.get_running_loop().time
        watch = Watch(self._pace, now())
        while not sequence.ended:
            if due := self._next(sequence, reading, watch, now()):
                yield due
                watch.spoke(now())
            if sequence.ended:
                break
            if now() >= watch.ping_at:
                yield []
                watch.spoke(now())
            await self._rest(sequence, reading, watch)

    async def close(self) -> None:
        """Stop listening. The run goes on."""
        self._streams.forget(self.slot.stream)
        self._inbox.close()
        if self._reading:
            await self._reading.close()

    def _next(self, sequence: Sequence, reading: Reading, watch: Watch, now: float) -> list[Named]:
        """Take one thing that came, a frame or the run as it is stored; return what is due."""
        if self._inbox.closed:
            raise Unavailable("The event stream was closed.")
        if (run := reading.result()) is not None:
            return self._absorb(sequence, run, watch, now)
        if (frame := self._inbox.pop()) is None:
            return []
        watch.heard(now)
        due = sequence.take(frame)
        watch.sees(sequence.hole, now)
        return due

    def _absorb(self, sequence: Sequence, run: Run, watch: Watch, now: float) -> list[Named]:
        due = sequence.absorb(run)
        if watch.in_vain(sequence.hole):
            sequence.give_up()
        watch.sees(sequence.hole, now)
        return due

    async def _rest(self, sequence: Sequence, reading: Reading, watch: Watch) -> None:
        """Wait for a frame, or for the time to read the run or to ping; start the read that is due."""
        now = asyncio.get_running_loop().time()
        urgent = sequence.asks or self._inbox.overflowed
        read_at = watch.read_at(live=self._streams.reads(self.slot.slot), urgent=urgent)
        if now >= read_at and not reading.busy:
            self._inbox.overflowed = False
            reading.start()
            watch.reads(now)
        if len(self._inbox):
            return
        until = watch.ping_at if reading.busy else min(watch.ping_at, read_at)
        await self._inbox.wait(until - now)
