"""How many records of a topic nobody has done yet, if the broker tells it in time."""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka import connect_admin, connection, start
from shared.runs.model import Json
from shared.settings import ServiceSettings
from shared.topics import Topic, group_of

log = logging.getLogger(__name__)

PATIENCE_S = 3.0


async def lag_of(settings: ServiceSettings, topic: Topic) -> Json | None:
    """Return the lag of the group that works on ``topic``; None if it cannot be had."""
    group = group_of(topic, settings.topic_prefix)
    if group is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return {"topic": topic.name, "group": group, "records": await _lag(settings, topic, group)}
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        log.info("no lag to be had", extra={"topic": topic.name, "reason": repr(error)})
        return None


async def _lag(settings: ServiceSettings, topic: Topic, group: str) -> int:
    name = settings.topic_prefix + topic.name
    admin = await connect_admin(settings)
    try:
        [known] = await admin.describe_topics([name])
        done = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    partitions = [TopicPartition(name, partition["partition"]) for partition in known["partitions"]]
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None, enable_auto_commit=False)
    try:
        await start(consumer)
        first, end = await asyncio.gather(
            consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        )
    finally:
        await consumer.stop()
    at = {each: done[each].offset if each in done else first[each] for each in partitions}
    return sum(max(end[each] - max(at[each], first[each]), 0) for each in partitions)
