"""Finds runs that nobody works on, and events that nobody published. Every replica sweeps."""

import asyncio
import logging
import random
import time

from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers
from services.run_orchestrator.turns import Turns
from shared import logs, metrics
from shared.failpoints import failpoint
from shared.runs import facts as f
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.stores.database import PyMongoError
from shared.stores.runs import RunStore

log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, runs: RunStore, turns: Turns, handlers: Handlers, follow_up: FollowUp) -> None:
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
            except PyMongoError as error:
                log.error("the store does not answer; sweeping again later", exc_info=error)

    async def sweep(self) -> None:
        failpoint("orchestrator.sweeping")
        due = await self._runs.due(time.time())
        metrics.OVERDUE.set(len(due))
        for run in due:
            with logs.about(run_id=run.id, thread_id=run.thread_id):
                failpoint("orchestrator.found_due")
                await self._look_at(run)
        unannounced = await self._runs.unannounced(time.time())
        metrics.UNPUBLISHED.labels("run").set(len(unannounced))
        for run in unannounced:
            failpoint("orchestrator.found_unannounced")
            await self._announce(run)

    async def _look_at(self, run: Run) -> None:
        now = time.time()
        if now >= run.expires_at and run.phase != "ending":
            run, _ = await self._runs.change(run, lambda r: advance(r, f.Expired(now)))
            failpoint("orchestrator.expired")
        if run.phase == "tools" and now >= run.wake_at:
            run, _ = await self._runs.change(run, lambda r: advance(r, f.Rung(now)))
            failpoint("orchestrator.rung")
            log.warning("asking for a tool call again", extra={"rings": run.rings})
            await self._announce(run)
            await self._follow_up.request_tools(run)
        elif run.phase == "user":
            await self._announce(run)
        elif run.phase == "ending" or (run.phase in ("runnable", "llm") and not self._turns.full):
            await self._handlers.advance_run(run)

    async def _announce(self, run: Run) -> None:
        await self._follow_up.show_messages(run)
        await self._follow_up.publish(run)
