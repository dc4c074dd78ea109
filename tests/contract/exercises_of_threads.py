"""Every method of the stores of what a thread holds, called once: for ``test_queries``."""

import pytest

from shared.runs.model import Json, Slot
from shared.runs.rules import advance, created
from shared.stores.database import Database
from shared.stores.messages import MessageStore
from shared.stores.page import PageQuery
from shared.stores.runs import RunStore, ThreadBusy
from tests.contract.query_log import Called
from tests.unit.run_samples import ANSWERED, CLAIMED, MESSAGE_STARTED, NOW, after, new_run

MANY = 300  # documents in each collection that is searched: enough for an index to be worth it
PAGES = [
    PageQuery(limit=2, order=order, after=after, before=before)
    for order in ("asc", "desc")
    for after in (None, "2")
    for before in (None, "4")
]


async def of_runs(db: Database) -> Called:
    store = RunStore(db)
    called = Called(store)
    await called.create_indexes()
    run = await called.add(created(new_run("2"), NOW))
    like = await db["runs"].find_one({"_id": "2"}) or {}
    many = [like | {"_id": f"run_{n}", "thread_id": f"other_{n}"} for n in range(MANY)]
    ended = like | {"_id": "4", "seq": 2, "active": False}
    await db["runs"].insert_many([*many, ended])

    with pytest.raises(ThreadBusy):
        await called.add(created(new_run("3"), NOW))
    await called.active_id(run.thread_id)
    run, _ = await called.change(run, lambda r: advance(r, CLAIMED))
    run = await called.save(run, after(run, MESSAGE_STARTED))
    await called.set_metadata(run, {})
    await called.add_slot(run.id, Slot(slot=1, stream="s"))
    await called.remove_slot(run.id, "s")
    await called.heartbeat([run.id], "a", now=NOW, wake_at=NOW + 9)
    await called.cancelling([run.id])
    await called.due(NOW)
    await called.mark_published(run)
    await called.unannounced(NOW)
    await called.publish_again("g", since=NOW, now=NOW)
    assert await called.get(run.id)
    for query in PAGES:
        await called.page(run.thread_id, query)
    return called


async def of_messages(db: Database) -> Called:
    called = Called(MessageStore(db))
    await called.create_indexes()
    plain = {"live": True, "at": NOW, "content": [], "project_id": "p", "role": "user"}
    await db["messages"].insert_many(
        [{"_id": f"msg_{n}", "thread_id": f"thread_{n % 2}", "seq": n // 2 + 1, **plain} for n in range(MANY)]
    )
    await called.last_seq("thread_0")  # many: by steps that double
    for name in ("2", "4"):
        message: Json = {"id": name, "thread_id": "thread_1", "content": [], "role": "user"}
        await called.add(message, project_id="p", at=NOW)
    run = after(created(new_run(), NOW), CLAIMED, MESSAGE_STARTED, ANSWERED)
    await called.write_step(run, run.steps[0])
    for query in PAGES:
        await called.page("thread_1", query)
        await called.page_of_run(run, query)
    await called.get("thread_1", "2")
    await called.last_seq("thread_1")
    await called.has_user_message("thread_1")
    [message async for message in called.newest("thread_1", upto=10)]
    await called.first("thread_1")
    await called.set_metadata("2", {})
    await called.delete("2", at=NOW)
    await called.mark_published([m["_id"] for m in await called.unpublished(NOW)])
    await called.delete_thread("thread_5")
    return called
