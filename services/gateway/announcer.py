"""What leaves the gateway for Kafka, apart from the requests that cause it.

An answer never waits for the broker: everything to be told is in the store before, and
whoever finds it there untold tells it (here for messages, in the orchestrator for runs).
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self

from services.gateway.settings import Settings
from shared import clock, metrics
from shared.broker_watch import BrokerWatch
from shared.events import Control, FileCommand, RunCommand, SearchRequested
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.runs.model import Run, Slot
from shared.stores.database import Document, PyMongoError
from shared.stores.messages import MessageStore
from shared.tasks import in_background
from shared.topics import TOOL_REQUESTS_RETRIEVAL

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 2.0
DRAIN_S = 5.0
Reason = Literal["created", "outputs_submitted", "cancel_requested"]


class Announcer:
    def __init__(self, settings: Settings, messages: MessageStore) -> None:
        self._settings = settings
        self._messages = messages
        self._publisher = Publisher(settings, client_id="gateway")
        self._watch = BrokerWatch(settings, self._publisher)
        self._new: asyncio.Queue[Document] = asyncio.Queue()
        self._telling: set[asyncio.Task[None]] = set()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._publisher)
        for work in (self._watch.run(), self._tell_messages(), self._sweep()):
            await self._open.enter_async_context(in_background(work))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telling:
            await asyncio.wait(self._telling, timeout=DRAIN_S)
        await self._open.aclose()

    @property
    def connected(self) -> bool:
        return self._watch.state == "ok"

    def run_changed(self, run: Run, reason: Reason) -> None:
        """Tell the feed, the open streams and the orchestrators what ``run`` now is."""
        if self.connected:
            self._start(self._tell_run(run, reason))

    def run_watched(self, run: Run, slot: Slot) -> None:
        """Tell whoever works on ``run`` that one more stream listens."""
        if self.connected:
            watch = Control(type="watch", run_id=run.id, thread_id=run.thread_id, slot=slot)
            self._start(self._tell_watched(watch))

    def message_changed(self, message: Document) -> None:
        """Tell the feed that a client made or deleted ``message``."""
        if self.connected:
            self._new.put_nowait(message)

    def files_changed(self, commands: Sequence[FileCommand]) -> None:
        """Ring for those who take files into vector stores, or out of them."""
        if commands and self.connected:
            self._start(self._publisher.file_commands(commands))

    async def search(self, request: SearchRequested) -> bool:
        """Ring for those who search; whether the broker took it."""
        return await self._publisher.request(TOOL_REQUESTS_RETRIEVAL, request.call_id, request)

    def _start(self, telling: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_run(self, run: Run, reason: Reason) -> None:
        publisher = self._publisher
        if reason == "cancel_requested":
            await publisher.control(Control(run_id=run.id, thread_id=run.thread_id))
            failpoint("gateway.control_sent")
        if not await self._show_messages(run):
            return
        run = await publisher.announce(run)
        failpoint("gateway.run_announced")
        await publisher.command(
            RunCommand(run_id=run.id, thread_id=run.thread_id, reason=reason, published=run.published)
        )
        failpoint("gateway.command_sent")

    async def _show_messages(self, run: Run) -> bool:
        """Write what its owner may not have come to write: no message is told of before it can be read."""
        untold = {event.step_id for event in self._publisher.untold(run)}
        try:
            for step in run.steps:
                if step.message_id and step.id in untold:
                    await self._messages.write_step(run, step)
        except PyMongoError as error:
            log.warning("a run is told of later", extra={"reason": repr(error)})
            return False
        return True

    async def _tell_watched(self, watch: Control) -> None:
        await self._publisher.control(watch)

    async def _tell_messages(self) -> None:
        """Announce messages as they come; mark many of them in one write."""
        while True:
            batch = [await self._new.get()]
            while not self._new.empty():
                batch.append(self._new.get_nowait())
            try:
                await self._announce(batch)
            except PyMongoError as error:
                log.warning("announced, but not marked so", extra={"reason": repr(error)})

    async def _announce(self, messages: list[Document]) -> None:
        told = await asyncio.gather(*(_tell(self._publisher, message) for message in messages))
        failpoint("gateway.message_announced")
        if ids := [message["_id"] for message, taken in zip(messages, told, strict=True) if taken]:
            await self._messages.mark_published(ids)
            failpoint("gateway.messages_marked")

    async def _sweep(self) -> None:
        """Announce what was left: by a process that died, or while the broker was away."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S * random.uniform(0.75, 1.25))
            if not self.connected:
                continue
            try:
                failpoint("gateway.sweeping")
                left = await self._messages.unpublished(clock.now() - self._settings.announce_after_s)
                metrics.UNPUBLISHED.labels("message").set(len(left))
                await self._announce(left)
            except PyMongoError as error:
                log.warning("could not announce what was left", extra={"reason": repr(error)})


async def _tell(publisher: Publisher, message: Document) -> bool:
    name = "deleted" if message.get("deleted") else "created"
    ids = (message["_id"], message["thread_id"], message["project_id"])
    return await publisher.announce_message(name, *ids, message["at"])
