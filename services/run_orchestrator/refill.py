"""Gives a broker what only another one has seen that it replaced: it begins empty."""

import asyncio
import logging

from services.run_orchestrator.brokers import BrokerStore
from shared import clock
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.stores.database import PyMongoError
from shared.stores.runs import RunStore
from shared.topics import DAY_S

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
LATE_S = 300.0  # so long somebody may not have noticed, and count for published what the old broker took
MARGIN_S = 60.0  # between a run's end and its last mark


class Refill:
    """Not once but for a while: who notices late goes on to mark runs as published to the old broker.

    It looks ever more seldom, when the broker has been gone for twice as long as at the last look: each one
    reads all runs that ended since.
    """

    def __init__(self, runs: RunStore, brokers: BrokerStore, publisher: Publisher) -> None:
        self._runs = runs
        self._brokers = brokers
        self._publisher = publisher
        self._looked: dict[str, float] = {}  # when, for the runs of which generation; first at a whole day's

    async def note(self, generation: str) -> None:
        """Raises PyMongoError: then nothing may be published under that generation yet."""
        await self._brokers.note(generation, clock.now())
        failpoint("orchestrator.broker_seen")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.publish_again(self._publisher.generation, clock.now())
            except PyMongoError as error:
                log.error("could not publish again what another broker had", exc_info=error)

    async def publish_again(self, generation: str, now: float) -> None:
        for other, replaced_at in (await self._brokers.replaced(generation, now)).items():
            last, late = self._looked.get(other), now > replaced_at + LATE_S
            if last is not None and now - last < last - replaced_at and not late:
                continue
            since = now - DAY_S if last is None else last - MARGIN_S
            if marked := await self._runs.publish_again(other, since=since, now=now):
                log.info("publishing again what another broker had", extra={"runs": marked})
            self._looked[other] = now
            if late:
                await self._brokers.forget(other)
                del self._looked[other]
