"""The ``control`` topic: what every replica is told, from now on. It may be missed; it is only a hint."""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shared import topics
from shared.events import Control
from shared.kafka import reading, start
from shared.settings import ServiceSettings

log = logging.getLogger(__name__)

RETRY_S = 1.0


async def listen(
    settings: ServiceSettings, react: Callable[[Control], None], *, after: asyncio.Event
) -> None:
    """Call ``react`` with each message until cancelled; begin once ``after`` says that the topic exists."""
    await after.wait()
    partition = TopicPartition(settings.topic_prefix + topics.CONTROL.name, 0)
    while True:
        consumer = AIOKafkaConsumer(**reading(settings), group_id=None)
        try:
            await start(consumer)
            consumer.assign([partition])
            await consumer.seek_to_end(partition)
            async for record in consumer:
                _react(record.value, react)
        except (KafkaError, OSError) as error:
            log.warning("cannot listen to the control topic", extra={"reason": repr(error)})
            await asyncio.sleep(RETRY_S)
        finally:
            await consumer.stop()


def _react(value: bytes | None, react: Callable[[Control], None]) -> None:
    try:
        react(Control.model_validate_json(value or b""))
    except ValidationError:
        log.warning("passed over a control message that cannot be read")
