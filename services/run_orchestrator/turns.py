"""The model turns in flight in this process: a bounded pool of tasks, each under a lease."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.run_orchestrator.ledger import Fenced
from services.run_orchestrator.turn import Turn
from shared import clock, logs, metrics, tracing
from shared.events import RunCommand
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.runs.facts import Claimed
from shared.runs.model import Run, Slot
from shared.runs.rules import advance
from shared.stores.database import PyMongoError
from shared.stores.runs import RunStore

log = logging.getLogger(__name__)

STOP = "stop"
RELEASE = "release"


class Turns:
    """Claims runs and works on them. ``owner`` names this process in the store."""

    def __init__(
        self,
        runs: RunStore,
        publisher: Publisher,
        build_turn: Callable[[Run], Turn],
        *,
        owner: str,
        lease_s: float,
        call_s: float,
        most: int,
    ) -> None:
        self.owner = owner
        self._runs = runs
        self._publisher = publisher
        self._build_turn = build_turn
        self._lease_s = lease_s
        self._call_s = call_s
        self._most = most
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, Turn] = {}
        self._showing: set[asyncio.Task[None]] = set()
        self._reasons: dict[str, str] = {}
        self._reserved = 0
        self._waiting = 0  # of the tasks: they wait for something else than a model
        self._room = asyncio.Event()
        self._room.set()  # while not full
        self._draining = False

    @property
    def full(self) -> bool:
        return self._draining or len(self._tasks) - self._waiting + self._reserved >= self._most

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until another run may be claimed, and keep the place for it until the end of the block."""
        while self.full:
            await self._room.wait()
        self._reserved += 1
        self._look_for_room()
        try:
            yield
        finally:
            self._reserved -= 1
            self._look_for_room()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Leave a turn's place to others during the block, and wait for one behind it."""
        self._waiting += 1
        self._look_for_room()
        try:
            yield
            while self.full:
                await self._room.wait()
        finally:
            self._waiting -= 1
            self._look_for_room()

    def claim(self, run: Run) -> Run:
        """Return the run claimed for this process; unchanged if it is not to be had. Not saved yet."""
        return advance(run, Claimed(self.owner, clock.now(), self._lease_s, self._call_s))

    def start(self, run: Run) -> None:
        """Work on ``run``, which this process has claimed and saved.

        The task of its last turn may not have ended yet: a tool can be fast.
        """
        assert run.owner == self.owner, "only a claimed run is worked on"
        task = asyncio.create_task(self._work(run), name=run.id)
        self._tasks[run.id] = task
        task.add_done_callback(lambda task: self._forget(run.id, task))
        self._look_for_room()

    def stop(self, run_id: str) -> None:
        """Let go of a run that is to be cancelled, if this process works on it."""
        self._interrupt(run_id, STOP)

    def show(self, run_id: str, slot: Slot) -> None:
        """Let one more stream see a run, if this process works on it."""
        if turn := self._turns.get(run_id):
            showing = asyncio.create_task(turn.show(slot))
            self._showing.add(showing)
            showing.add_done_callback(self._showing.discard)

    async def drain(self, within_s: float = 0.0) -> None:
        """Take nothing more, and give to another replica every run whose turn does not end in time.

        Leases must be renewed meanwhile.
        """
        self._draining = True
        self._look_for_room()
        if within_s and self._tasks:
            log.info("waiting for the turns in hand", extra={"turns": len(self._tasks)})
            await asyncio.wait(self._tasks.values(), timeout=within_s)
        for run_id in list(self._tasks):
            self._interrupt(run_id, RELEASE)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def heartbeat(self) -> None:
        """Renew the leases; notice cancellations that no control message told."""
        if not self._tasks:
            return
        mine, now = list(self._tasks), clock.now()
        await self._runs.heartbeat(mine, self.owner, now=now, wake_at=now + self._lease_s)
        for run_id in await self._runs.cancelling(mine):
            self.stop(run_id)

    def _look_for_room(self) -> None:
        metrics.TURNS.set(len(self._tasks))
        if self.full:
            self._room.clear()
        else:
            self._room.set()

    def _interrupt(self, run_id: str, reason: str) -> None:
        task = self._tasks.get(run_id)
        if task and run_id not in self._reasons:
            self._reasons[run_id] = reason
            task.cancel()

    async def _work(self, run: Run) -> None:
        turn = self._turns[run.id] = self._build_turn(run)
        with logs.about(run_id=run.id, thread_id=run.thread_id), tracing.turn(run, self.owner):
            try:
                await self._work_or_let_go(turn, run)
            except PyMongoError as error:
                log.error("the store does not answer; the run goes on after its lease", exc_info=error)
            except Fenced:
                log.warning("the run has another owner; its turn is dropped here")

    def _forget(self, run_id: str, task: asyncio.Task[None]) -> None:
        """Not at the task's end: one that is cancelled before it began has none."""
        if self._tasks.get(run_id) is task:
            del self._tasks[run_id]
            self._turns.pop(run_id, None)
            self._reasons.pop(run_id, None)
            self._look_for_room()

    async def _work_or_let_go(self, turn: Turn, run: Run) -> None:
        try:
            await turn.work()
        except asyncio.CancelledError:
            await self._let_go(turn, run)

    async def _let_go(self, turn: Turn, run: Run) -> None:
        if self._reasons.get(run.id) == STOP:
            await turn.stop()
            return
        released = await turn.release()
        failpoint("orchestrator.released")
        command = RunCommand(
            run_id=run.id, thread_id=run.thread_id, reason="handed_over", published=released.published
        )
        await self._publisher.command(command)
