"""What the orchestrator would do with tool_code: ask, and listen for results."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events import CodeRequested, ToolResult
from shared.files.library import Library
from shared.ids import new_file_id, new_id
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.topics import TOOL_REQUESTS_CODE, TOOL_RESULTS
from tests.eventually import eventually

RINGS, RING_S = 6, 20.0


class Orchestrator:
    def __init__(self, publisher: Publisher, consumer: AIOKafkaConsumer) -> None:
        self.publisher = publisher
        self.consumer = consumer

    async def ask(
        self,
        code: str,
        *,
        thread: str,
        call: str | None = None,
        run: str = "run_1",
        files: tuple[str, ...] = (),
    ) -> CodeRequested:
        request = CodeRequested(
            call_id=call or new_id("call"),
            run_id=run,
            thread_id=thread,
            project_id="p",
            code=code,
            token="t",
            deadline=time.time() + 100,
            files=files,
        )
        await eventually(lambda: self.publisher.request(TOOL_REQUESTS_CODE, thread, request))
        return request

    async def answer_to(self, request: CodeRequested) -> ToolResult:
        """Passes over results that are told twice, and asks for one that is not told, as the product does."""
        for _ in range(RINGS):
            try:
                async with asyncio.timeout(RING_S):
                    while (result := await self.result()).call_id != request.call_id:
                        pass
                    return result
            except TimeoutError:
                await self.publisher.request(TOOL_REQUESTS_CODE, request.thread_id, request)
        raise AssertionError(f"no answer to {request}")

    async def result(self) -> ToolResult:
        record = await self.consumer.getone()
        return ToolResult.model_validate_json(record.value)


@asynccontextmanager
async def asking(settings: ServiceSettings) -> AsyncIterator[Orchestrator]:
    """Hears only of results that come after it."""
    async with Publisher(settings, client_id="test") as publisher:
        consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
        await consumer.start()
        try:
            topic = settings.topic_prefix + TOOL_RESULTS.name
            partitions = [TopicPartition(topic, n) for n in range(TOOL_RESULTS.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            yield Orchestrator(publisher, consumer)
        finally:
            await consumer.stop()


async def upload(library: Library, filename: str, content: bytes) -> str:
    file_id = new_file_id()
    await library.keep(file_id, "p", content, purpose="assistants", filename=filename)
    return file_id


def thread() -> str:
    return new_id("thread")
