"""Messages in a real store, while many write at once."""

import asyncio

from shared.runs import facts as f
from shared.runs.model import Json
from shared.stores.database import Database
from shared.stores.messages import MessageStore
from shared.stores.page import PageQuery
from tests.threads import messages_of
from tests.unit.run_samples import ANSWERED, NOW, TEXT, WRITING, after


def message(name: str, text: str = "Hi", role: str = "user") -> Json:
    return {
        "id": name,
        "object": "thread.message",
        "thread_id": "thread_1",
        "role": role,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}] if text else [],
        "metadata": {},
    }


async def opened(db: Database) -> MessageStore:
    store = MessageStore(db)
    await store.create_indexes()
    return store


async def add(store: MessageStore, *names: str) -> None:
    for name in names:
        await store.add(message(name), project_id="p", at=NOW)


async def listed(store: MessageStore) -> list[str]:
    documents, _ = await store.page("thread_1", PageQuery(order="asc", limit=100))
    return [document["_id"] for document in documents]


async def test_messages_that_come_at_once_get_places_without_a_gap(db: Database) -> None:
    store = await opened(db)
    added = await asyncio.gather(*(store.add(message(f"msg_{n}"), project_id="p", at=NOW) for n in range(12)))
    assert sorted(document["seq"] for document in added) == list(range(1, 13))
    assert await store.last_seq("thread_1") == 12
    stored = {d["_id"]: d["seq"] async for d in db["messages"].find({})}
    assert stored == {document["_id"]: document["seq"] for document in added}


async def test_a_step_written_many_times_at_once_is_one_message(db: Database) -> None:
    store = await opened(db)
    run = after(WRITING, ANSWERED)
    await asyncio.gather(*(store.write_step(run, run.steps[0]) for _ in range(12)))
    assert await db["messages"].count_documents({}) == 1
    found = await store.get("thread_1", run.steps[0].message_id or "")
    assert found is not None
    assert (found["status"], found["content"], found["seq"]) == ("completed", list(TEXT), 1)


async def test_a_step_grows_into_its_message(db: Database) -> None:
    store = await opened(db)
    step = WRITING.steps[0]
    await store.write_step(WRITING, step)
    await add(store, "msg_later")
    run = after(WRITING, ANSWERED)
    await store.write_step(run, run.steps[0])
    assert await listed(store) == [step.message_id, "msg_later"]
    assert [m["_id"] for m in await messages_of(store, "thread_1", upto=10)] == [step.message_id, "msg_later"]


async def test_a_superseded_draft_is_not_listed_but_found_by_its_id(db: Database) -> None:
    store = await opened(db)
    await store.write_step(WRITING, WRITING.steps[0])
    run = after(WRITING, f.Restarted(0, NOW))
    await store.write_step(run, run.steps[0])
    assert await listed(store) == []
    draft = await store.get("thread_1", run.steps[0].message_id or "")
    assert draft is not None
    assert draft["status"] == "incomplete"


async def test_a_slow_owner_cannot_bring_back_a_draft_that_was_withdrawn(db: Database) -> None:
    """It saved the step, stood still for longer than its lease, and now writes the message."""
    store = await opened(db)
    run = after(WRITING, f.Restarted(0, NOW))
    await store.write_step(run, run.steps[0])
    await store.write_step(WRITING, WRITING.steps[0])
    assert await listed(store) == []


async def test_an_end_stands_whoever_writes_first(db: Database) -> None:
    store = await opened(db)
    run = after(WRITING, ANSWERED)
    await asyncio.gather(store.write_step(WRITING, WRITING.steps[0]), store.write_step(run, run.steps[0]))
    found = await store.get("thread_1", run.steps[0].message_id or "")
    assert found is not None
    assert found["status"] == "completed"


async def test_a_deleted_message_keeps_its_place_and_nothing_else(db: Database) -> None:
    store = await opened(db)
    await add(store, "a", "b", "c")
    await store.delete("b", at=NOW)
    assert await listed(store) == ["a", "c"]
    assert await store.get("thread_1", "b") is None
    after_b, _ = await store.page("thread_1", PageQuery(order="asc", after="b"))
    assert [document["_id"] for document in after_b] == ["c"]
    kept = await db["messages"].find_one({"_id": "b"})
    assert kept is not None
    assert (kept["content"], kept["seq"]) == ([], 2)


async def test_a_run_reads_the_thread_up_to_its_start(db: Database) -> None:
    store = await opened(db)
    await add(store, "a", "b", "c", "d")
    await store.delete("b", at=NOW)
    assert [m["_id"] for m in await messages_of(store, "thread_1", upto=3)] == ["a", "c"]
    assert [m["_id"] for m in (await messages_of(store, "thread_1", upto=4))[-2:]] == ["c", "d"]
    assert await messages_of(store, "thread_2", upto=9) == []


async def test_what_clients_did_is_unpublished_until_it_was_told(db: Database) -> None:
    store = await opened(db)
    await add(store, "a", "b")
    assert {m["_id"] for m in await store.unpublished(NOW)} == {"a", "b"}
    await store.mark_published(["a", "b"])
    assert await store.unpublished(NOW) == []
    await store.delete("a", at=NOW)
    assert [m["_id"] for m in await store.unpublished(NOW)] == ["a"]
    assert await store.unpublished(NOW - 1) == []


async def test_a_message_belongs_to_its_thread(db: Database) -> None:
    store = await opened(db)
    await add(store, "a")
    assert await store.get("thread_2", "a") is None
    assert not await store.has_user_message("thread_2")
    assert await store.has_user_message("thread_1")
    await store.delete_thread("thread_1")
    assert await listed(store) == []
