"""Workers of retrieval die by ``kill -9``, at each stage and anywhere: the index is what the files say.

``TEST_KILLS=20`` for more of the random ones.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from deploy.local.keeper import ProgramError
from deploy.local.stack import Options, Stack
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.stores.database import connect
from shared.stores.search_results import SearchResultStore
from tests.eventually import eventually
from tests.integration.index_checker import differences
from tests.integration.retrieval import Client

pytestmark = pytest.mark.timeout(900)

WORKER = "tool_retrieval"
INGEST = {"THREADMILL_SEARCH": "false"}
SEARCH = {"THREADMILL_INGEST": "false"}
WORKERS = {WORKER: INGEST, f"{WORKER}-2": INGEST, f"{WORKER}-3": SEARCH, f"{WORKER}-4": SEARCH}
ENV = {
    "THREADMILL_EMBEDDER": "none",
    "THREADMILL_LEASE_S": "8",
    "THREADMILL_SWEEP_S": "0.3",
    "THREADMILL_AUDIT_S": "3",
    "THREADMILL_KAFKA_SESSION_S": "6",
}
STAGES = ("command_taken", "claimed", "parsed", "embedded", "indexed", "completed")
KILLS = int(os.environ.get("TEST_KILLS", "5"))
PAUSE_S = 0.3  # between one file and the next
SOON_S = 120.0  # several leases, and the start of a process on a busy machine
WORDS = "Foxes live in dens. They hunt at night, alone, and sleep by day in a place that few know. " * 30


@asynccontextmanager
async def stack_in(folder: Path) -> AsyncIterator[tuple[Stack, Client]]:
    async with Stack(Options(data=folder, services=(), env=ENV)) as stack:
        settings = ServiceSettings(
            kafka_bootstrap=stack.kafka_bootstrap, mongo_url=SecretStr(stack.mongo_url)
        )
        db = connect(stack.mongo_url, settings.mongo_database)
        try:
            async with Publisher(settings, client_id="test") as publisher:
                yield stack, Client(db, publisher)
        finally:
            db.client.close()


async def dies_at(stack: Stack, client: Client, place: str) -> None:
    """Start the worker, wait until it has died at ``place``, and let its lease lapse."""
    with suppress(ProgramError):  # it may die before it is ready
        await stack.start(WORKER, {"THREADMILL_FAILPOINT": f"retrieval.{place}:1:kill"})

    async def gone() -> bool:
        try:
            stack.pid(WORKER)
        except ProgramError:
            return True
        return False

    await eventually(gone, within_s=SOON_S)
    lapsed = {"until": 0.0, "wake_at": 0.0, "attempts": 1}
    await client.db["vector_store_files"].update_many({"until": {"$gt": 0.0}}, {"$set": lapsed})


async def all_is_well(client: Client, folder: Path) -> None:
    said: list[str] = []

    async def well() -> bool:
        said[:] = await differences(client.db, folder)
        await asyncio.sleep(0.2)
        return not said

    try:
        await eventually(well, within_s=SOON_S)
    except AssertionError:
        raise AssertionError("\n".join(said)) from None


async def begin(client: Client, store: str, name: str, text: str, *, times: int = 3) -> str:
    """Put a file into a store, and ring for it ``times``."""
    file_id = await client.upload(name, text.encode())
    await client.attach(store, file_id, ring=False)
    for _ in range(times):
        await client.ring(store, file_id, "added")
    return file_id


async def test_a_worker_may_die_at_each_stage(tmp_path: Path) -> None:
    index = tmp_path / "index"
    async with stack_in(tmp_path) as (stack, client):
        store, other = await client.store(), await client.store()
        doomed = await begin(client, store, "fox.txt", f"Vulpes. {WORDS}")
        for stage in STAGES:  # one file dies with each of its workers in turn
            await dies_at(stack, client, stage)
        await stack.start(WORKER)
        assert (await client.taken_in(store, doomed, within_s=SOON_S))["status"] == "completed"
        stays = await begin(client, store, "dog.txt", f"Canis. {WORDS}")
        assert (await client.taken_in(store, stays, within_s=SOON_S))["status"] == "completed"
        await begin(client, other, "cat.txt", f"Felis. {WORDS}")
        await all_is_well(client, index)
        assert {each["file_id"] for each in await client.search(store, "vulpes canis")} == {doomed, stays}

        await stack.stop(WORKER)
        await client.remove(store, doomed)
        await client.ring(store, doomed, "removed")
        await dies_at(stack, client, "removed")
        await client.stores.delete(client.project, other, time.time())
        await client.ring(other, "", "dropped")
        await dies_at(stack, client, "store_dropped")
        await stack.start(WORKER)
        await all_is_well(client, index)
        assert [each["file_id"] for each in await client.search(store, "vulpes canis")] == [stays]


class Load:
    """Files that come, go, and are searched for, while workers die. Each has a word of its own."""

    def __init__(self, client: Client, store: str, chance: random.Random) -> None:
        self._client = client
        self._store = store
        self._chance = chance
        self.there: dict[str, str] = {}  # its word -> a file that is completed and stays
        self._begun: dict[str, str] = {}

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            word = f"w{uuid4().hex[:10]}"
            self._begun[word] = await begin(self._client, self._store, f"{word}.txt", f"{word} {WORDS}")
            await self._note_completed()
            if len(self.there) > 2 and self._chance.random() < 0.3:
                gone = self.there.pop(self._chance.choice(list(self.there)))
                await self._client.remove(self._store, gone)
            if self.there:
                await self.search(self._chance.choice(list(self.there)))
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), PAUSE_S)

    async def search(self, word: str) -> None:
        call = await self._client.ask([self._store], word, within_s=SOON_S)
        for _ in range(2):
            await self._client.ask([self._store], word, call_id=call, within_s=SOON_S)
        results = SearchResultStore(self._client.db)
        found = await eventually(lambda: results.get(call), within_s=SOON_S)
        assert found["error"] is None
        assert [each["file_id"] for each in found["results"]] == [self.there[word]], word

    async def end(self) -> None:
        """Wait for all that is on its way."""
        for word, file_id in self._begun.items():
            file = await self._client.taken_in(self._store, file_id, within_s=SOON_S)
            assert file["status"] == "completed", file["last_error"]
            self.there[word] = file_id

    async def _note_completed(self) -> None:
        for word, file_id in list(self._begun.items()):
            file = await self._client.files.get(self._store, file_id)
            assert file
            if file["status"] != "in_progress":
                assert file["status"] == "completed", file["last_error"]
                self.there[word] = self._begun.pop(word)


async def test_workers_that_share_an_index_may_die_at_any_time(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    async with stack_in(tmp_path) as (stack, client):
        await asyncio.gather(*(stack.start(name, env) for name, env in WORKERS.items()))
        store, done = await client.store(), asyncio.Event()
        loads = [Load(client, store, chance) for _ in range(2)]
        working = [asyncio.create_task(load.run(done)) for load in loads]
        try:
            for _ in range(KILLS):
                name = chance.choice(list(WORKERS))
                await asyncio.wait(working, timeout=chance.uniform(0.2, 1.5))
                await stack.kill(name)
                await stack.start(name, WORKERS[name])
        finally:
            done.set()
            ended = await asyncio.gather(*working, return_exceptions=True)
        assert ended == [None, None], f"seed {seed}"
        for load in loads:
            await load.end()
        await all_is_well(client, tmp_path / "index")
        for load in loads:
            for word in load.there:
                await load.search(word)
