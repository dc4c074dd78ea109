"""A double of tool_retrieval: answers requests from Kafka as the real one does, without an index."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer

from shared.events import SearchRequested, ToolResult
from shared.kafka import connect_admin, ensure_topics
from shared.publisher import Publisher
from shared.runs.model import Json
from shared.settings import ServiceSettings
from shared.stores.database import Database
from shared.stores.search_results import Search, SearchResultStore
from shared.topics import TOOL_REQUESTS_RETRIEVAL, TOOL_RESULTS

TOLD = ("file_id", "file_name", "score")


def passage(file_id: str, file_name: str, text: str, *, score: float = 0.5, quote: str = "") -> Json:
    return {"file_id": file_id, "file_name": file_name, "score": score, "text": text, "quote": quote or text}


@dataclass
class Searcher:
    """``finds`` is what every search finds. Each result is sent ``times``."""

    finds: list[Json] = field(default_factory=list)
    output: str = ""
    times: int = 1
    requests: list[SearchRequested] = field(default_factory=list)

    async def answer(self, request: SearchRequested, db: Database, publisher: Publisher) -> None:
        self.requests.append(request)
        search = Search(
            request.call_id, request.project_id, request.run_id, request.thread_id, request.queries
        )
        await SearchResultStore(db).put(search, self.finds, self.output or None, time.time())
        result = ToolResult(
            call_id=request.call_id,
            run_id=request.run_id,
            token=request.token,
            output=self.output,
            results=tuple({name: found[name] for name in TOLD} for found in self.finds),
        )
        for _ in range(self.times):
            await publisher.request(TOOL_RESULTS, request.run_id, result)


@asynccontextmanager
async def searching(settings: ServiceSettings, db: Database) -> AsyncIterator[Searcher]:
    """Creates the topics first, so that no request is missed."""
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    searcher = Searcher()
    topic = settings.topic_prefix + TOOL_REQUESTS_RETRIEVAL.name
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.topic_prefix}searcher",
        auto_offset_reset="earliest",
    )

    async def serve(publisher: Publisher) -> None:
        async for record in consumer:
            await searcher.answer(SearchRequested.model_validate_json(record.value), db, publisher)

    async with Publisher(settings, client_id="searcher") as publisher:
        await consumer.start()
        serving = asyncio.create_task(serve(publisher))
        try:
            yield searcher
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await consumer.stop()
