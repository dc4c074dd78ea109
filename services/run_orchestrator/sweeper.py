"""Finds runs that nobody works on, and events that nobody published. Every replica sweeps.

A run with which something is wrong keeps no other from being found: it is looked at ever less
often, and given up after some failures.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers
from services.run_orchestrator.turns import Turns
from shared import clock, logs, metrics, tracing
from shared.errors import Stale
from shared.failpoints import failpoint
from shared.records import passes
from shared.runs import facts as f
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.stores.runs import RunStore

log = logging.getLogger(__name__)


FIRST_PAUSE_S, MOST_PAUSE_S = 0.5, 60.0
FORGET_S = 300.0


class Wrong(NamedTuple):
    """How often a run could not be moved, and until when it is left alone (Unix seconds)."""

    failures: int = 0
    until: float = 0.0


class Sweeper:
    def __init__(
        self, runs: RunStore, turns: Turns, handlers: Handlers, follow_up: FollowUp, *, tries: int
    ) -> None:
        self._tries = tries
        self._wrong: dict[str, Wrong] = {}
        self._runs = runs
        self._turns = turns
        self._handlers = handlers
        self._follow_up = follow_up

    async def run(self, every_s: float) -> None:
        """Sweep until cancelled; replicas drift apart by a random part of the pause."""
        while True:
            await asyncio.sleep(every_s * random.uniform(0.75, 1.25))
            try:
                await self.sweep()
            except Exception as error:  # whatever it is: without a sweeper nothing heals
                log.error("a sweep was cut short; sweeping again later", exc_info=error)

    async def sweep(self) -> None:
        failpoint("orchestrator.sweeping")
        now = clock.now()
        self._wrong = {run_id: wrong for run_id, wrong in self._wrong.items() if now - wrong.until < FORGET_S}
        due = await self._runs.due(now)
        metrics.OVERDUE.set(len(due))
        for run in due:
            failpoint("orchestrator.found_due")
            await self._carefully(self._look_at, run)
        unannounced = await self._runs.unannounced(now)
        metrics.UNPUBLISHED.labels("run").set(len(unannounced))
        for run in unannounced:
            failpoint("orchestrator.found_unannounced")
            await self._carefully(self._announce, run)

    async def _carefully(self, look: Callable[[Run], Awaitable[None]], run: Run) -> None:
        wrong = self._wrong.get(run.id, Wrong())
        if clock.now() < wrong.until:
            return
        with logs.about(run_id=run.id, thread_id=run.thread_id), tracing.resumed(run):
            try:
                await look(run)
                self._wrong.pop(run.id, None)
            except Stale as error:
                log.warning("a run changes all the time; looking at it later", exc_info=error)
            except Exception as error:
                if passes(error):
                    raise
                failures = wrong.failures + 1
                log.error("a run cannot be moved", exc_info=error, extra={"failures": failures})
                until = clock.now() + min(FIRST_PAUSE_S * 2**failures, MOST_PAUSE_S)
                self._wrong[run.id] = Wrong(failures, until)
                if failures == self._tries:
                    await self._carefully_give_up(run)

    async def _carefully_give_up(self, run: Run) -> None:
        try:
            await self._handlers.give_up(run)
        except Exception as error:
            log.critical("a run can neither be moved nor given up", exc_info=error)

    async def _look_at(self, run: Run) -> None:
        now = clock.now()
        if now >= run.expires_at and run.phase != "ending":
            run, _ = await self._runs.change(run, lambda r: advance(r, f.Expired(now)))
            failpoint("orchestrator.expired")
        if run.phase == "tools" and now >= run.wake_at:
            run, _ = await self._runs.change(run, lambda r: advance(r, f.Rung(now)))
            failpoint("orchestrator.rung")
            await self._announce(run)
            if run.phase == "tools":
                log.warning("asking for a tool call again", extra={"rings": run.rings})
                await self._follow_up.request_tools(run)
            elif run.phase == "runnable":
                log.error("a tool did not answer; the run goes on without")
                await self._handlers.advance_run(run)
        elif run.phase == "user":
            await self._announce(run)
        elif run.phase == "ending" or (run.phase in ("runnable", "llm") and not self._turns.full):
            await self._handlers.advance_run(run)

    async def _announce(self, run: Run) -> None:
        await self._follow_up.show_messages(run)
        await self._follow_up.publish(run)
