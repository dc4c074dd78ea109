"""Keeps an eye on which broker is there: after it forgot everything, what it knew is published anew."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared import metrics
from shared.kafka import connect_admin, ensure_topics, generation
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.stores.database import PyMongoError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0
RETRY_S = 1.0
PATIENCE_S = 10.0


class BrokerWatch:
    """Tells the publisher the broker's generation, and makes sure that the topics exist.

    ``on_new`` is called with a generation before anything is published under it; if the store is away,
    again at the next look.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        publisher: Publisher,
        on_new: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._on_new = on_new
        self._looked_at = 0.0
        self.seen = asyncio.Event()  # set once a broker with its topics was there

    @property
    def state(self) -> str:
        """``ok``, or how long the broker has not been seen."""
        away_s = time.monotonic() - self._looked_at
        return "ok" if self.seen.is_set() and away_s < LOOK_EVERY_S + PATIENCE_S else "away"

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                admin = await connect_admin(self._settings)
            except (KafkaError, OSError) as error:
                metrics.BROKER.set(0)
                log.warning("no broker at %s", self._settings.kafka_bootstrap, extra={"reason": repr(error)})
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._watch(admin)
            except (KafkaError, OSError, TimeoutError, PyMongoError) as error:
                metrics.BROKER.set(0)
                log.warning("lost sight of the broker", extra={"reason": repr(error)})
                await asyncio.sleep(RETRY_S)
            finally:
                await admin.close()

    async def _watch(self, admin: AIOKafkaAdminClient) -> None:
        while True:
            async with asyncio.timeout(PATIENCE_S):
                found = await generation(admin)
                if found != self._publisher.generation and self._settings.create_topics:
                    await ensure_topics(admin, self._settings)
            if found != self._publisher.generation:
                log.info("a broker is there", extra={"generation": found})
                if self._on_new:
                    await self._on_new(found)
                self._publisher.generation = found
            self._looked_at = time.monotonic()
            metrics.BROKER.set(1)
            self.seen.set()
            await asyncio.sleep(LOOK_EVERY_S)
