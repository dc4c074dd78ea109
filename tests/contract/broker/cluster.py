"""aiokafka against one broker, so that tests read as sentences. What it opens it closes."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient

from tests.eventually import eventually

ANSWER_WITHIN_S = 15.0
SESSION_MS, HEARTBEAT_MS = 2000, 100
TOO_LONG_MS = 30_000  # for a fetch to wait, so that a test can tell an answer from a timeout


class Cluster:
    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        self._opened.push_async_callback(self.admin.close)
        await self.admin.start()
        self._client = AIOKafkaClient(bootstrap_servers=self.bootstrap)
        self._opened.push_async_callback(self._client.close)
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def create_topic(self, name: str = "", partitions: int = 1, **configs: str) -> str:
        """Underscores in the names of configs stand for dots."""
        name = name or f"test-{uuid4().hex}"
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        response = await self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=dotted)])
        ((_, code, message),) = response.topic_errors
        assert code == 0, message

        async def is_there() -> bool:
            (topic,) = await self.admin.describe_topics([name])
            return len(topic["partitions"]) == partitions and all(
                p["leader"] >= 0 for p in topic["partitions"]
            )

        await eventually(is_there)
        return name

    async def producer(self, **options: Any) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **options)
        self._opened.push_async_callback(producer.stop)
        await producer.start()
        return producer

    async def consumer(self, *topics: str, **options: Any) -> AIOKafkaConsumer:
        """In a group if ``group_id`` is given; it commits only when told to."""
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.bootstrap,
            **{
                "auto_offset_reset": "earliest",
                "enable_auto_commit": False,
                "session_timeout_ms": SESSION_MS,
                "heartbeat_interval_ms": HEARTBEAT_MS,
                **options,
            },
        )
        self._opened.push_async_callback(consumer.stop)
        await consumer.start()
        return consumer

    async def reader_of(self, topic: str, partition: int = 0, **options: Any) -> AIOKafkaConsumer:
        """A consumer without a group, on one partition."""
        consumer = await self.consumer(**options)
        consumer.assign([TopicPartition(topic, partition)])
        return consumer

    async def send(self, topic: str, *values: bytes, **options: Any) -> None:
        producer = await self.producer()
        for value in values:
            await producer.send_and_wait(topic, value, **options)

    async def ask(self, request: Any) -> Any:
        """The bare answer of the broker."""
        node = self._client.get_random_node()
        return await self._client.send(node, request)

    async def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """The first offset that is kept, and the next one to be given."""
        place = TopicPartition(topic, partition)
        consumer = await self.reader_of(topic, partition)
        first, end = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
        return first[place], end[place]


async def take(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord[Any, Any]]:
    """The next ``count`` records. Raises TimeoutError."""
    async with asyncio.timeout(ANSWER_WITHIN_S):
        return [await consumer.getone() for _ in range(count)]


async def take_values(consumer: AIOKafkaConsumer, count: int) -> list[bytes | None]:
    return [record.value for record in await take(consumer, count)]
