"""Members that join the services' groups and leave them again, so that partitions move all the time."""

import asyncio

from aiokafka import AIOKafkaConsumer

from tests.chaos.collecting import groups_of
from tests.chaos.lab import Lab
from tests.eventually import eventually

STAY_S = 0.3


async def storm(lab: Lab, *, for_s: float) -> None:
    """Let members come and go, each until it had partitions; they do nothing with them."""
    ends = asyncio.get_running_loop().time() + for_s
    await asyncio.gather(
        *(_come_and_go(lab, group, topic, ends) for group, topic in groups_of(lab).items()),
        *(_come_and_go(lab, group, topic, ends) for group, topic in groups_of(lab).items()),
    )


async def _come_and_go(lab: Lab, group: str, topic: str, ends: float) -> None:
    while True:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=lab.kafka, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:

            async def has_some(consumer: AIOKafkaConsumer = consumer) -> bool:
                return bool(consumer.assignment())

            await eventually(has_some, within_s=30)
            await asyncio.sleep(STAY_S)
        finally:
            await consumer.stop()
        if asyncio.get_running_loop().time() > ends:
            return
