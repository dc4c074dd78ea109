"""Files are there whole or not at all, and what a crash leaves behind is swept."""

import time
from collections.abc import AsyncIterator

import pytest

from shared.errors import Unavailable
from shared.files.gridfs import BUCKET, GridFSStorage
from shared.files.library import Library
from shared.stores.database import Database, Document
from shared.stores.files import SILENT_S, FileStore
from shared.stores.page import PageQuery

PROJECT = "project"


async def bytes_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
async def library(db: Database) -> Library:
    store = FileStore(db)
    await store.create_indexes()
    return Library(store, GridFSStorage(db))


async def add(library: Library, content: bytes = b"x", expires_after_s: int | None = None) -> Document:
    async with library.arrival(PROJECT) as arrival:
        await arrival.write(bytes_of(content))
        return await arrival.complete(purpose="assistants", filename="a.txt", expires_after_s=expires_after_s)


async def left(db: Database) -> int:
    return sum([await db[f"{BUCKET}.{part}"].count_documents({}) for part in ("files", "chunks")])


async def listed(library: Library, query: PageQuery | None = None) -> list[str]:
    files, _ = await library.store.page(PROJECT, query or PageQuery(), purpose=None, now=time.time())
    return [file["_id"] for file in files]


async def test_a_file_is_seen_when_it_is_complete_and_not_before(library: Library) -> None:
    async with library.arrival(PROJECT) as arrival:
        await arrival.write(bytes_of(b"hello"))
        assert await library.store.get(PROJECT, arrival.file_id, time.time()) is None
        assert await listed(library) == []
        made = await arrival.complete(purpose="assistants", filename="你好.txt")
    found = await library.store.get(PROJECT, made["_id"], time.time())
    assert found is not None
    assert (found["bytes"], found["filename"]) == (5, "你好.txt")
    assert [piece async for piece in library.read(found)] == [b"hello"]
    assert await library.store.get("another", made["_id"], time.time()) is None
    assert await library.sweep() == 0


async def test_what_fails_halfway_leaves_nothing(library: Library, db: Database) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        raise ConnectionError("the client left")

    async def upload() -> None:
        async with library.arrival(PROJECT) as arrival:
            await arrival.write(broken())

    with pytest.raises(ConnectionError):
        await upload()
    assert await left(db) == 0
    assert await db["files"].count_documents({}) == 0


async def test_what_a_dead_process_left_is_swept_once_it_is_silent(library: Library, db: Database) -> None:
    await library.store.expect("file-dead", PROJECT, time.time() - SILENT_S - 1)
    await library.store.expect("file-busy", PROJECT, time.time())
    storage = GridFSStorage(db)
    await storage.put("file-dead", bytes_of(b"x"))
    await storage.put("file-busy", bytes_of(b"x"))
    assert await library.sweep() == 1
    assert await left(db) == 2
    assert await library.sweep() == 0
    fields = {"purpose": "assistants", "filename": "a", "bytes": 1, "expires_at": None}
    assert await library.store.complete("file-busy", PROJECT, fields, time.time())


async def test_who_was_taken_for_dead_cannot_complete(library: Library, db: Database) -> None:
    async def upload() -> None:
        async with library.arrival(PROJECT) as arrival:
            await arrival.write(bytes_of(b"x"))
            await db["files"].update_one({"_id": arrival.file_id}, {"$set": {"due": 0}})
            assert await library.sweep() == 1
            await arrival.complete(purpose="assistants", filename="a.txt")

    with pytest.raises(Unavailable):
        await upload()
    assert await listed(library) == []
    assert await left(db) == 0


async def test_a_deletion_that_broke_off_is_ended_by_the_sweeper(library: Library, db: Database) -> None:
    forgotten = []

    async def forget(project_id: str, file_id: str) -> None:
        forgotten.append((project_id, file_id))

    library = Library(library.store, GridFSStorage(db), [forget])
    file = await add(library)
    assert await library.store.delete(file, time.time() - 3600)  # and then the process died
    assert await listed(library) == []
    assert await left(db) == 2
    assert await library.sweep() == 1
    assert await left(db) == 0
    assert forgotten == [(PROJECT, file["_id"])]
    assert await library.sweep() == 0


async def test_only_one_deletes(library: Library) -> None:
    file = await add(library)
    assert await library.delete(file)
    assert not await library.delete(file)


async def test_a_deleted_file_keeps_its_place_in_the_list(library: Library, db: Database) -> None:
    first, second, third = [await add(library) for _ in range(3)]
    await library.delete(second)
    assert await listed(library, PageQuery(after=second["_id"])) == [first["_id"]]
    assert await listed(library) == [third["_id"], first["_id"]]
    kept = await db["files"].find_one({"_id": second["_id"]})
    assert kept is not None
    assert kept.keys() == {"_id", "project_id", "state", "live", "seq", "created_at", "purpose"}


async def test_an_expired_file_is_not_there_even_before_it_is_swept(library: Library, db: Database) -> None:
    file = await add(library, expires_after_s=3600)
    assert file["expires_at"] == file["created_at"] + 3600
    later = file["expires_at"]
    assert await library.store.get(PROJECT, file["_id"], later - 1)
    assert await library.store.get(PROJECT, file["_id"], later) is None
    assert await library.store.get_many(PROJECT, [file["_id"]], later) == {}
    assert await library.store.page(PROJECT, PageQuery(), purpose=None, now=later) == ([], False)
    assert await library.sweep() == 0
    await db["files"].update_one({"_id": file["_id"]}, {"$set": {"gone_at": 1}})
    assert await library.sweep() == 1
    assert await left(db) == 0


async def test_a_file_with_a_derived_id_is_kept_once(library: Library, db: Database) -> None:
    async def keep(content: bytes) -> Document:
        return await library.keep("file-x", PROJECT, content, purpose="assistants_output", filename="x.png")

    await library.store.expect("file-x", PROJECT, time.time())  # a worker died in the middle of it
    await db[f"{BUCKET}.chunks"].insert_one({"files_id": "file-x", "n": 0, "data": b"half"})
    made = await keep(b"whole")
    assert await library.content(made) == b"whole"
    assert await keep(b"other") == await library.store.get(PROJECT, "file-x", time.time())
    assert await library.content(made) == b"whole"
    assert await listed(library) == ["file-x"]
