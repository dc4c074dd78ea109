"""Records are taken as soon as they come, also after a silence."""

import asyncio
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from faststream.kafka import KafkaRouter

from services.run_orchestrator.batches import prompt


class Quiet:
    """A consumer whose topic has had nothing for as long as it waits."""

    async def getmany(self, *, timeout_ms: int, max_records: int | None) -> dict[Any, Any]:
        return {}


async def test_after_a_silence_nobody_sleeps() -> None:
    subscriber = prompt(KafkaRouter().subscriber("topic", batch=True))
    async with asyncio.timeout(0.1):
        assert await subscriber.get_msg(cast(AIOKafkaConsumer, Quiet())) == ()
