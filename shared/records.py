"""One record off Kafka, until it is handled or set aside: what counts against it, and what does not."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ValidationError

from shared.backoff import backoff_s
from shared.dead_letters import Cause
from shared.errors import Stale
from shared.publisher import Publisher
from shared.stores.database import PyMongoError, is_outage

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

MOST_S = 5.0
REMEMBERED = 1_000


class Records(Generic[M]):
    """Gives each record to ``handle``, and again while that fails; a partition waits meanwhile.

    While store or broker is away, that is nobody's fault: it goes on until they are back. What
    fails for another reason ``tries`` times is poisonous. It is set aside, as is what cannot be
    read, and ``give_up`` sees to it that nobody waits for what the record asked.
    """

    def __init__(
        self,
        model: type[M],
        handle: Callable[[M], Awaitable[None]],
        give_up: Callable[[M], Awaitable[None]],
        publisher: Publisher,
        *,
        tries: int,
        first_pause_s: float = 0.1,
    ) -> None:
        self._model = model
        self._handle = handle
        self._give_up = give_up
        self._publisher = publisher
        self._tries = tries
        self._first_s = first_pause_s
        self._aside: OrderedDict[tuple[object, ...], None] = OrderedDict()  # those that may come again

    async def take(self, record: ConsumerRecord) -> None:
        """Return when the record needs nobody any more. Only cancellation is raised."""
        try:
            message = self._model.model_validate_json(record.value or b"")
        except ValidationError as error:
            said = str(error.errors(include_input=False, include_url=False))
            await self._set_aside(record, Cause("malformed", said, 1))
            return
        if cause := await self._attempt(message):
            await self._set_aside(record, cause)
            await self._abandon(message)

    async def _attempt(self, message: M) -> Cause | None:
        failures = outages = 0
        while True:
            try:
                await self._handle(message)
            except Exception as error:
                if passes(error):
                    outages += 1
                    log.warning("a record waits until store and broker are back", exc_info=error)
                else:
                    failures += 1
                    log.error("a record could not be handled", exc_info=error, extra={"failures": failures})
                    if failures >= self._tries:
                        return Cause("poisonous", f"{type(error).__name__}: {error}", failures)
                await asyncio.sleep(backoff_s(max(failures, outages), first_s=self._first_s, most_s=MOST_S))
            else:
                return None

    async def _set_aside(self, record: ConsumerRecord, cause: Cause) -> None:
        """Raises nothing, and returns only when the broker has it: else it would be gone."""
        place = (record.topic, record.partition, record.offset, record.timestamp)
        if place in self._aside:
            return
        where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.error("set a record aside", extra={**where, "reason": cause.reason, "error": cause.error})
        failures = 0
        while not await self._publisher.set_aside(record, cause):
            failures += 1
            await asyncio.sleep(backoff_s(failures, first_s=self._first_s, most_s=MOST_S))
        self._aside[place] = None
        if len(self._aside) > REMEMBERED:
            self._aside.popitem(last=False)

    async def _abandon(self, message: M) -> None:
        failures = 0
        while True:
            try:
                return await self._give_up(message)
            except Exception as error:
                if not passes(error):
                    log.critical("could not give up what a poisonous record is about", exc_info=error)
                    return None
                failures += 1
                await asyncio.sleep(backoff_s(failures, first_s=self._first_s, most_s=MOST_S))


def passes(error: Exception) -> bool:
    """Whether ``error`` says that store or broker are away or busy, rather than that something is wrong."""
    if isinstance(error, PyMongoError):
        return is_outage(error)
    return isinstance(error, KafkaError | ConnectionError | TimeoutError | Stale)
