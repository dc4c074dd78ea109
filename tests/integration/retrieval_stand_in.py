"""A stand-in for the service that takes files in and searches them: its documents and records, by hand."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.events import FileCommand, Frame, SearchRequested
from shared.runs.model import Json
from shared.stores.database import Database, connect
from shared.stores.files import NEVER
from shared.stores.search_results import Search, SearchResultStore
from shared.stores.vector_store_files import id_of
from shared.topics import FILE_COMMANDS, RUN_STREAM, TOOL_REQUESTS_RETRIEVAL
from tests.eventually import eventually

TAKEN_IN: Json = {"status": "completed", "usage_bytes": 10, "gen": 1, "active_gen": 1, "stage": None}
POISON: Json = {
    "status": "failed",
    "last_error": {"code": "unsupported_file", "message": "The file type is not supported."},
    "stage": None,
}


RESULT: Json = {
    "file_id": "file-x",
    "file_name": "a.txt",
    "vector_store_id": "vs_x",
    "score": 0.75,
    "attributes": {"year": 2023},
    "text": "The chunk.",
    "quote": "chunk",
    "pages": None,
    "char_start": 0,
    "char_end": 10,
}


class Librarian:
    """Ends the ingest of files as the service would: in their documents."""

    def __init__(self, mongo_url: str, database: str) -> None:
        self._mongo_url, self._database = mongo_url, database

    def take_in(self, vector_store_id: str, *file_ids: str, **fields: object) -> None:
        asyncio.run(self._set(vector_store_id, file_ids, {**TAKEN_IN, **fields}))

    def refuse(self, vector_store_id: str, *file_ids: str) -> None:
        asyncio.run(self._set(vector_store_id, file_ids, POISON))

    def age(self, vector_store_id: str, days: int, *, of_days: int = 1) -> None:
        """Let the last use of a store that lives ``of_days`` be ``days`` ago."""
        then = int(time.time() - days * 86_400)
        end = then + of_days * 86_400
        aged = {"last_active_at": then, "gone_at": end, "wake_at": end}
        asyncio.run(self._update("vector_stores", vector_store_id, aged))

    def fill(self, vector_store_id: str, files: int) -> None:
        """Let the store be known to have that many files."""
        asyncio.run(self._update("vector_stores", vector_store_id, {"most_files": files}))

    async def _set(self, vector_store_id: str, file_ids: tuple[str, ...], fields: Json) -> None:
        for file_id in file_ids:
            key = id_of(vector_store_id, file_id)
            await self._update("vector_store_files", key, {**fields, "wake_at": NEVER})

    async def _update(self, collection: str, key: str, fields: Json) -> None:
        db = connect(self._mongo_url, self._database)
        try:
            result = await db[collection].update_one({"_id": key}, {"$set": fields})
            assert result.matched_count == 1, key
        finally:
            db.client.close()


class Rung:
    """What was told to the service so far."""

    def __init__(self) -> None:
        self.files: list[FileCommand] = []
        self.searches: list[SearchRequested] = []

    def commands(self, vector_store_id: str) -> list[tuple[str, str]]:
        """Return what was told of a vector store: reason and file."""
        return [(each.reason, each.file_id) for each in self.files if each.vector_store_id == vector_store_id]


class Searcher(Rung):
    """Listens, and answers searches with ``results``, or with ``error``."""

    def __init__(self, kafka_bootstrap: str, mongo_url: str, database: str) -> None:
        super().__init__()
        self.results: list[Json] = []
        self.error: str | None = None
        self.rings = True
        self.takes_in = False  # what it is told of; but no tables
        self._kafka, self._mongo_url, self._database = kafka_bootstrap, mongo_url, database
        self._ready = threading.Event()
        self._stop = threading.Event()

    def run(self) -> None:
        asyncio.run(self._listen())

    def wait_until_ready(self) -> None:
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._stop.set()

    async def _listen(self) -> None:
        consumer = AIOKafkaConsumer(
            *(f"{self._prefix}{topic.name}" for topic in (FILE_COMMANDS, TOOL_REQUESTS_RETRIEVAL)),
            bootstrap_servers=self._kafka,
            group_id=f"stand-in-{uuid4().hex[:8]}",
            auto_offset_reset="latest",
        )
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka)
        db = connect(self._mongo_url, self._database)
        await consumer.start()
        await producer.start()
        try:
            await eventually(_assigned(consumer), within_s=30)
            for partition in consumer.assignment():
                await consumer.position(partition)
            self._ready.set()
            while not self._stop.is_set():
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        await self._take(record.topic, record.value, producer, db)
        finally:
            await consumer.stop()
            await producer.stop()
            db.client.close()

    @property
    def _prefix(self) -> str:
        return "threadmill."

    async def _take(self, topic: str, value: bytes, producer: AIOKafkaProducer, db: Database) -> None:
        if topic.endswith(FILE_COMMANDS.name):
            command = FileCommand.model_validate_json(value)
            self.files.append(command)
            if self.takes_in and command.reason == "added":
                await _take_in(db, command)
            return
        request = SearchRequested.model_validate_json(value)
        self.searches.append(request)
        search = Search(request.call_id, request.project_id, "", "", request.queries)
        await SearchResultStore(db).put(search, self.results, self.error, time.time())
        if self.rings and request.reply_to:
            frame = Frame(
                run_id="",
                epoch=0,
                seq=0,
                event="search.completed",
                data={"call_id": request.call_id},
                streams=(request.reply_to.stream,),
            )
            stream = f"{self._prefix}{RUN_STREAM.name}"
            data = frame.model_dump_json().encode()
            await producer.send_and_wait(stream, data, partition=request.reply_to.slot)


async def _take_in(db: Database, command: FileCommand) -> None:
    same = {"_id": id_of(command.vector_store_id, command.file_id), "status": "in_progress"}
    file = await db["vector_store_files"].find_one(same)
    if file is not None:
        end = POISON if file["filename"].endswith(".csv") else TAKEN_IN
        await db["vector_store_files"].update_one(same, {"$set": {**end, "wake_at": NEVER}})


def _assigned(consumer: AIOKafkaConsumer) -> Callable[[], Awaitable[bool]]:
    async def assigned() -> bool:
        return bool(consumer.assignment())

    return assigned


@contextmanager
def searching(kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[Searcher]:
    searcher = Searcher(kafka_bootstrap, mongo_url, database)
    thread = threading.Thread(target=searcher.run)
    thread.start()
    try:
        searcher.wait_until_ready()
        yield searcher
    finally:
        searcher.stop()
        thread.join()


async def told(rung: Rung, vector_store_id: str, *commands: tuple[str, str]) -> None:
    """Wait until all of ``commands`` have come."""

    async def all_came() -> bool:
        return set(commands) <= set(rung.commands(vector_store_id))

    await eventually(all_came, within_s=30)
