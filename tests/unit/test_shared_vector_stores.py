"""Vector stores and their files in a real store: expiry, changes at once, what is added twice."""

import asyncio

from shared.ids import new_sequence
from shared.runs.model import Json
from shared.stores.database import Database, Document
from shared.stores.files import NEVER
from shared.stores.page import PageQuery
from shared.stores.vector_store_files import Totals, VectorStoreFiles, new_file
from shared.stores.vector_stores import DAY_S, RING_AGAIN_S, VectorStores, has_expired

NOW = 1_000_000.0
WEEKLY = {"anchor": "last_active_at", "days": 7}
CHUNKING = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}


async def opened(db: Database) -> VectorStores:
    store = VectorStores(db)
    await store.create_indexes()
    return store


async def files_of(db: Database) -> VectorStoreFiles:
    store = VectorStoreFiles(db)
    await store.create_indexes()
    return store


def fields(**given: object) -> Json:
    none: Json = {"name": None, "description": None, "metadata": {}, "expires_after": None, "helper": False}
    return none | given


def member(name: str, vector_store_id: str = "vs_1", batch_id: str | None = None) -> Document:
    file = {"_id": name, "project_id": "p", "filename": f"{name}.txt"}
    return new_file(
        file,
        vector_store_id,
        seq=new_sequence(),
        now=NOW,
        chunking=CHUNKING,
        attributes={},
        batch_id=batch_id,
    )


async def is_taken_in(db: Database, *names: str, status: str = "completed", usage_bytes: int = 10) -> None:
    for name in names:
        done = {"status": status, "usage_bytes": usage_bytes, "gen": 1, "active_gen": 1, "wake_at": NEVER}
        await db["vector_store_files"].update_one({"file_id": name}, {"$set": done})


async def test_a_repeated_creation_finds_the_first_one(db: Database) -> None:
    stores = await opened(db)
    first = await stores.add("vs_1", "p", fields(name="a"), NOW)
    assert await stores.add("vs_1", "p", fields(name="b"), NOW + 5) == first
    assert (first["gone_at"], first["wake_at"], first["created_at"]) == (NEVER, NEVER, NOW)
    assert await stores.get("q", "vs_1") is None


async def test_an_expiry_is_counted_from_the_last_use(db: Database) -> None:
    stores = await opened(db)
    made = await stores.add("vs_1", "p", fields(expires_after=WEEKLY), NOW)
    assert made["gone_at"] == NOW + 7 * DAY_S
    await stores.used("p", ["vs_1", "vs_unknown"], NOW + 100)
    found = await stores.get("p", "vs_1")
    assert found is not None
    assert (found["last_active_at"], found["gone_at"]) == (NOW + 100, NOW + 100 + 7 * DAY_S)
    assert await stores.searchable("p", ["vs_2", "vs_1"], found["gone_at"] - 1) == ["vs_1"]

    assert has_expired(found, found["gone_at"])
    assert await stores.searchable("p", ["vs_1"], found["gone_at"]) == []
    await stores.used("p", ["vs_1"], found["gone_at"] + 1)
    assert await stores.get("p", "vs_1") == found, "what has expired stays so"


async def test_another_policy_moves_the_expiry(db: Database) -> None:
    stores = await opened(db)
    await stores.add("vs_1", "p", fields(), NOW)
    changed = await stores.change("p", "vs_1", lambda _: {"expires_after": WEEKLY})
    assert changed is not None
    assert changed["gone_at"] == changed["wake_at"] == NOW + 7 * DAY_S
    changed = await stores.change("p", "vs_1", lambda _: {"expires_after": None})
    assert changed is not None
    assert changed["gone_at"] == changed["wake_at"] == NEVER


async def test_of_many_changes_at_once_none_is_lost(db: Database) -> None:
    stores = await opened(db)
    await stores.add("vs_1", "p", fields(), NOW)

    async def add(key: str) -> None:
        await stores.change("p", "vs_1", lambda old: {"metadata": {**old["metadata"], key: "x"}})

    await asyncio.gather(*(add(key) for key in "abcde"))
    found = await stores.get("p", "vs_1")
    assert found is not None
    assert sorted(found["metadata"]) == list("abcde")


async def test_whoever_sweeps_rings_until_the_index_is_dropped(db: Database) -> None:
    stores = await opened(db)
    for name in ("vs_used", "vs_deleted", "vs_expired"):
        expires = WEEKLY if name == "vs_expired" else None
        await stores.add(name, "p", fields(expires_after=expires), NOW)
    assert await stores.delete("p", "vs_deleted", NOW)
    assert not await stores.delete("p", "vs_deleted", NOW)
    late = NOW + 8 * DAY_S
    claims = await asyncio.gather(*(stores.claim_due(late) for _ in range(3)))
    rung = sorted(store["_id"] for claimed in claims for store in claimed)
    assert rung == ["vs_deleted", "vs_expired"], "each by one of them"
    assert await stores.claim_due(late) == []
    assert len(await stores.claim_due(late + RING_AGAIN_S)) == 2
    assert await stores.dropped("vs_deleted", late)
    assert await stores.dropped("vs_expired", late)
    assert not await stores.dropped("vs_used", late), "its index is to stay"
    assert await stores.claim_due(late + DAY_S) == []


async def test_a_deleted_one_leaves_its_place_only(db: Database) -> None:
    stores = await opened(db)
    for n in range(4):
        await stores.add(f"vs_{n}", "p", fields(name=f"{n}"), NOW)
    await stores.delete("p", "vs_2", NOW)
    assert await stores.get("p", "vs_2") is None
    page, has_more = await stores.page("p", PageQuery(limit=1, after="vs_2"))
    assert ([each["_id"] for each in page], has_more) == (["vs_1"], True)
    left = await db["vector_stores"].find_one({"_id": "vs_2"})
    assert left is not None
    assert "name" not in left


async def test_a_file_is_taken_in_once_however_often_it_is_added(db: Database) -> None:
    files = await files_of(db)
    assert [each["file_id"] for each in await files.add([member("a"), member("b")])] == ["a", "b"]
    assert [each["file_id"] for each in await files.add([member("b"), member("c")])] == ["c"]
    await is_taken_in(db, "a", "b")
    assert await files.add([member("a", batch_id="vsfb_1")]) == []
    assert await files.totals("vs_1") == Totals({"in_progress": 1, "completed": 2}, 20)
    assert await files.totals_of_batch("vsfb_1") == Totals({"completed": 1}, 10)
    assert await files.add([member("a", "vs_2")]) != [], "in another store it is another one"


async def test_what_failed_is_tried_anew_in_its_place(db: Database) -> None:
    files = await files_of(db)
    await files.add([member("a"), member("b")])
    await is_taken_in(db, "a", status="failed", usage_bytes=0)
    again = member("a", batch_id="vsfb_1")
    assert await files.add([again]) == [again]
    found = await files.get("vs_1", "a")
    assert found is not None
    assert (found["status"], found["last_error"], found["batch_ids"]) == ("in_progress", None, ["vsfb_1"])
    assert found["gen"] == 1, "so that what the first try left can be told from the second"
    page, _ = await files.page("vs_1", PageQuery(order="asc"))
    assert [each["file_id"] for each in page] == ["a", "b"]


async def test_a_removed_file_is_nowhere_and_comes_back_as_a_new_one(db: Database) -> None:
    files = await files_of(db)
    await files.add([member(name, batch_id="vsfb_1") for name in "abc"])
    await is_taken_in(db, "a", "b", "c")
    assert await files.remove("vs_1", "b", NOW)
    assert not await files.remove("vs_1", "b", NOW)
    assert await files.get("vs_1", "b") is None
    assert (await files.totals("vs_1")).files == {"completed": 2}
    page, _ = await files.page("vs_1", PageQuery(order="asc", after="b"))
    assert [each["file_id"] for each in page] == ["c"], "its place is a cursor all the same"

    await files.add([member("b")])
    found = await files.get("vs_1", "b")
    assert found is not None
    assert (found["status"], found["gen"], found["active_gen"]) == ("in_progress", 1, 0)
    page, _ = await files.page("vs_1", PageQuery(order="asc"))
    assert [each["file_id"] for each in page] == ["a", "c", "b"]


async def test_a_file_leaves_all_its_stores(db: Database) -> None:
    files = await files_of(db)
    for vector_store_id in ("vs_1", "vs_2", "vs_3"):
        await files.add([member("a", vector_store_id), member("b", vector_store_id)])
    await files.remove("vs_3", "a", NOW)
    assert sorted(await files.remove_everywhere("a", NOW)) == ["vs_1", "vs_2"]
    assert await files.remove_everywhere("a", NOW) == []
    for vector_store_id in ("vs_1", "vs_2", "vs_3"):
        page, _ = await files.page(vector_store_id, PageQuery())
        assert [each["file_id"] for each in page] == ["b"]


async def test_a_cancelled_batch_keeps_what_is_done(db: Database) -> None:
    files = await files_of(db)
    await files.add([member(name, batch_id="vsfb_1") for name in "abc"] + [member("d")])
    await is_taken_in(db, "a")
    await files.cancel_batch("vsfb_1", NOW)
    assert (await files.totals_of_batch("vsfb_1")).files == {"completed": 1, "cancelled": 2}
    page, _ = await files.page("vs_1", PageQuery(), batch_id="vsfb_1", status="cancelled")
    assert [each["file_id"] for each in page] == ["c", "b"]
    assert (await files.totals("vs_1")).files["in_progress"] == 1


async def test_attributes_are_replaced_as_a_whole(db: Database) -> None:
    files = await files_of(db)
    await files.add([member("a")])
    await files.set_attributes("vs_1", "a", {"year": 2023, "ok": True})
    found = await files.set_attributes("vs_1", "a", {"a.b": "$x"})
    assert found is not None
    assert found["attributes"] == {"a.b": "$x"}
    assert await files.set_attributes("vs_1", "z", {}) is None
