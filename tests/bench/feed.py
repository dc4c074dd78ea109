"""What happens to runs, seen from the outside: the arrival of their records on Kafka."""

import asyncio
import time
from collections import defaultdict
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer

from shared import topics
from shared.events import CodeRequested, SearchRequested
from shared.feed import event_type
from shared.settings import ServiceSettings

REQUESTED = "tool requested"
PATIENCE_S = 60.0


class Feed:
    """Keeps when each event of a run came; the names are those of the event stream."""

    def __init__(self, bootstrap: str, *watched: topics.Topic) -> None:
        self._prefix = ServiceSettings().topic_prefix
        names = [self._prefix + topic.name for topic in watched]
        self._consumer = AIOKafkaConsumer(*names, bootstrap_servers=bootstrap, auto_offset_reset="latest")
        self._came: dict[tuple[str, str], asyncio.Future[float]] = defaultdict(
            asyncio.get_running_loop().create_future
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._consumer.seek_to_end()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await self._consumer.stop()

    async def came(self, run_id: str, name: str) -> float:
        """Wait for an event of a run; return when it arrived, by ``time.perf_counter``."""
        return await asyncio.wait_for(asyncio.shield(self._came[run_id, name]), PATIENCE_S)

    async def _read(self) -> None:
        async for record in self._consumer:
            self._note(record, time.perf_counter())

    def _note(self, record: Any, now: float) -> None:
        if record.topic.endswith(topics.TOOL_REQUESTS_CODE.name):
            key = CodeRequested.model_validate_json(record.value).run_id, REQUESTED
        elif record.topic.endswith(topics.TOOL_REQUESTS_RETRIEVAL.name):
            key = SearchRequested.model_validate_json(record.value).run_id, REQUESTED
        else:
            headers = dict(record.headers)
            key = headers["ce_subject"].decode(), headers["ce_type"].decode()
        if not self._came[key].done():
            self._came[key].set_result(now)


COMPLETED = event_type("thread.run.completed")
STEP_COMPLETED = event_type("thread.run.step.completed")
