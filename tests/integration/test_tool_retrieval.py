"""tool_retrieval against a real broker, a real store and a real index."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.settings import Settings
from shared.files.parsed import ParsedFiles
from shared.runs.model import Slot
from shared.stores.database import Database, connect
from shared.stores.page import PageQuery
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles
from tests.eventually import eventually
from tests.integration.retrieval import Client, retrieval, retrieval_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOX = "The quick brown fox jumps over the lazy dog."
BREAD = "Banana bread needs three ripe bananas, flour and an oven."


@pytest.fixture(scope="module")
def settings(kafka_bootstrap: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("retrieval")
    return retrieval_settings(kafka_bootstrap, mongo_url, f"test_{uuid4().hex[:12]}", folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def db(settings: Settings) -> AsyncIterator[Database]:
    database = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
    yield database
    await database.client.drop_database(database.name)
    database.client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(settings: Settings, db: Database) -> AsyncIterator[Client]:
    async with retrieval(settings, db) as client:
        yield client


def folders_of(settings: Settings, store: str) -> list[Path]:
    """Where LanceDB keeps a store's tables."""
    return list(Path(settings.index_url).glob(f"{store}*"))


async def test_a_file_is_taken_in_and_found(client: Client) -> None:
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    await client.add(store, "bread.md", f"# Baking\n\n{BREAD}")
    found = await client.search(store, "a fox that jumps")
    assert found[0] == {
        "file_id": fox,
        "file_name": "fox.txt",
        "vector_store_id": store,
        "score": found[0]["score"],
        "attributes": {},
        "text": FOX,
        "quote": FOX,
        "pages": None,
        "char_start": 0,
        "char_end": len(FOX),
    }
    assert 0 < found[0]["score"] <= 1
    file = await client.files.get(store, fox)
    assert file
    assert (file["active_gen"], file["chunks"], file["embedder"], file["last_error"]) == (1, 1, "none", None)
    assert file["usage_bytes"] >= len(FOX)
    assert file["stages"].keys() == {"parsing", "embedding", "indexing"}


async def test_what_cannot_be_read_fails_and_says_why(client: Client) -> None:
    store = await client.store()
    wrong = {"sheet.csv": b"a,b", "bits.txt": bytes(range(256)) * 9, "empty.txt": b"", "no.pdf": b"Hello"}
    codes = {}
    for name, content in wrong.items():
        file_id = await client.upload(name, content)
        await client.attach(store, file_id)
        file = await client.taken_in(store, file_id)
        assert file["status"] == "failed"
        codes[name] = file["last_error"]["code"]
    assert codes == {
        "sheet.csv": "unsupported_file",
        "bits.txt": "invalid_file",
        "empty.txt": "invalid_file",
        "no.pdf": "invalid_file",
    }


async def test_a_removed_file_is_found_no_more_and_leaves_the_index(
    client: Client, settings: Settings
) -> None:
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    await client.files.remove(store, fox, time.time())
    assert await client.search(store, "fox") == []  # though the index has it still
    await client.ring(store, fox, "removed")
    await client.settled(store, fox)
    await client.attach(store, fox)
    await client.taken_in(store, fox)
    assert [each["file_id"] for each in await client.search(store, "fox")] == [fox]


async def test_the_text_of_a_deleted_file_is_deleted_and_not_shown(client: Client, db: Database) -> None:
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    other = await client.add(store, "other.txt", BREAD + " A fox, a fox!")
    parsed = ParsedFiles(db)
    assert await parsed.read(fox) == FOX
    await parsed.delete(fox)  # and nothing else yet
    assert [each["file_id"] for each in await client.search(store, FOX, max_num_results=1)] == [other]
    file = await client.library.store.get("p", fox, time.time())
    assert file
    await client.library.delete(file)
    await client.remove(store, fox)
    await client.settled(store, fox)
    assert await parsed.read(fox) is None


async def test_a_store_that_is_deleted_is_dropped(client: Client, settings: Settings) -> None:
    store = await client.store()
    await client.add(store, "fox.txt", FOX)
    assert folders_of(settings, store)
    await client.stores.delete("p", store, time.time())
    assert await client.search(store, "fox") == []
    await client.ring(store, "", "dropped")

    async def gone() -> bool:
        left = await client.db["vector_store_files"].find_one({"vector_store_id": store})
        return left is None and not folders_of(settings, store)

    await eventually(gone, within_s=60)


async def test_an_expired_store_is_dropped_but_its_files_are_still_listed(
    client: Client, settings: Settings
) -> None:
    store = await client.store()
    await client.add(store, "fox.txt", FOX)
    aged = {"last_active_at": 1, "gone_at": 2, "wake_at": 2}
    await client.db["vector_stores"].update_one({"_id": store}, {"$set": aged})
    assert await client.search(store, "fox") == []

    async def gone() -> bool:
        return not folders_of(settings, store)

    await eventually(gone, within_s=60)
    page, _ = await VectorStoreFiles(client.db).page(store, PageQuery())
    assert [file["filename"] for file in page] == ["fox.txt"]


async def test_no_store_finds_what_is_in_another_one(client: Client) -> None:
    mine, other = await client.store(), await client.store()
    fox, bread = await client.add(mine, "fox.txt", FOX), await client.add(other, "bread.txt", BREAD)
    assert [each["file_id"] for each in await client.search(mine, "bananas fox bread")] == [fox]
    both = await client.search([mine, other], "bananas fox bread")
    assert {each["file_id"] for each in both} == {fox, bread}
    stranger = Client(client.db, client.publisher, project="another")
    assert await stranger.search([mine, other], "bananas fox bread") == []


async def test_a_file_in_two_stores_is_shown_once(client: Client) -> None:
    one, two = await client.store(), await client.store()
    fox = await client.add(one, "fox.txt", FOX)
    await client.attach(two, fox)
    await client.taken_in(two, fox)
    assert len(await client.search([one, two], "fox")) == 1


async def test_attributes_limit_what_is_found(client: Client) -> None:
    store = await client.store()
    old = await client.add(store, "old.txt", FOX, year=1999)
    new = await client.add(store, "new.txt", FOX, year=2024)
    later = {"type": "gt", "key": "year", "value": 2000}
    assert [each["file_id"] for each in await client.search(store, "fox", filters=later)] == [new]
    assert {each["file_id"] for each in await client.search(store, "fox")} == {old, new}
    never = {"type": "eq", "key": "year", "value": "1999"}
    assert await client.search(store, "fox", filters=never) == []
    call = await client.ask([store], "fox", filters={"type": "like", "key": "year", "value": 1})
    assert "no filter of type 'like'" in (await client.answer(call))["error"]


async def test_overlapping_chunks_and_long_results_are_left_out(client: Client) -> None:
    store = await client.store()
    text = "\n".join(f"Line {n} is about foxes and nothing else at all." for n in range(600))
    small = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}
    long = await client.upload("long.txt", text.encode())
    await client.attach(store, long, chunking=small)
    await client.taken_in(store, long)
    found = await client.search(store, "foxes", max_num_results=50)
    spans = sorted((each["char_start"], each["char_end"]) for each in found)
    assert len(spans) > 5
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
    for each in found:
        assert each["text"] == text[each["char_start"] : each["char_end"]]
        assert each["quote"] in each["text"]
    assert len(await client.search(store, "foxes", max_num_results=3)) == 3
    assert len(await client.search(store, "foxes", max_num_results=50, token_budget=450)) == 2
    assert await client.search(store, "foxes", score_threshold=0.999) == []


async def test_a_repeated_search_is_done_once(client: Client, db: Database) -> None:
    store = await client.store()
    await client.add(store, "fox.txt", FOX)
    call = await client.ask([store], "fox", run_id="run_1", token="t")
    first = await client.answer(call)
    await client.ask([store], "bananas", call_id=call, run_id="run_1", token="t")
    after = await client.ask([store], "fox", run_id="run_2", token="t")
    await client.answer(after)
    assert await SearchResultStore(db).get(call) == first


async def test_a_clients_own_search_is_answered_to_its_slot(client: Client, settings: Settings) -> None:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    store = await client.store()
    partition = TopicPartition(settings.topic_prefix + "run-stream.v1", 7)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        call = await client.ask([store], "fox", reply_to=Slot(slot=7, stream="s1"))
        record = await consumer.getone()
    finally:
        await consumer.stop()
    assert f'"call_id":"{call}"' in record.value.decode()
    assert '"event":"search.completed"' in record.value.decode()


async def test_a_lost_command_is_made_up_for(client: Client) -> None:
    store = await client.store()
    file_id = await client.upload("fox.txt", FOX.encode())
    await client.attach(store, file_id, ring=False)
    assert (await client.taken_in(store, file_id))["status"] == "completed"


async def test_a_repeated_command_changes_nothing(client: Client) -> None:
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    for _ in range(3):
        await client.ring(store, fox, "added")
    await client.add(store, "bread.txt", BREAD)
    file = await client.files.get(store, fox)
    assert file
    assert file["gen"] == 1
    assert len(await client.search(store, "fox")) == 1


async def test_an_index_that_went_missing_is_made_anew(
    client: Client, settings: Settings, db: Database
) -> None:
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    for folder in folders_of(settings, store):
        shutil.rmtree(folder)
    assert await client.search(store, "fox") == []
    await db["index_tables"].update_many({"vector_store_id": store}, {"$set": {"audit_at": 0.0}})

    async def back() -> bool:
        return bool(await client.search(store, "fox"))

    await eventually(back, within_s=30)
    file = await client.files.get(store, fox)
    assert file
    assert (file["status"], file["active_gen"]) == ("completed", 2)


async def test_a_lease_that_ends_with_the_work_takes_nothing_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found to be over before the answer is there that says why: the file is completed."""
    complete = FileClaims.complete
    stopped = asyncio.Event()

    async def unanswered(self: FileClaims, *arguments: Any) -> bool:
        await complete(self, *arguments)
        try:
            return await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr(FileClaims, "complete", unanswered)
    store = await client.store()
    fox = await client.add(store, "fox.txt", FOX)
    await asyncio.wait_for(stopped.wait(), 60)
    monkeypatch.undo()
    await client.add(store, "bread.txt", BREAD)
    assert [each["file_id"] for each in await client.search(store, "fox")] == [fox]
