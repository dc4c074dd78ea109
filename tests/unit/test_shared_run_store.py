"""Runs in a real store, while many write at once."""

import asyncio
from dataclasses import replace

import pytest

from shared.errors import Stale
from shared.runs import facts as f
from shared.runs.model import Published, Run, Slot
from shared.runs.rules import ANNOUNCE_S, CANCEL_S, advance, created
from shared.stores.database import Database, Document
from shared.stores.page import PageQuery
from shared.stores.runs import RunStore, ThreadBusy, parse
from tests.unit.run_samples import (
    ANSWERED,
    CALLS_STARTED,
    CANCELLED,
    CLAIMED,
    CODE,
    FUNCTION,
    MESSAGE_STARTED,
    NOW,
    after,
    calls_made,
    new_run,
    of_epoch,
)


async def opened(db: Database) -> RunStore:
    store = RunStore(db)
    await store.create_indexes()
    return store


async def stored(db: Database, run_id: str = "run_1") -> Document:
    found = await db["runs"].find_one({"_id": run_id})
    assert found is not None
    return found


async def walk(store: RunStore, run: Run, *facts: f.Fact) -> Run:
    for fact in facts:
        run = await store.save(run, after(run, fact))
    return run


async def test_what_is_saved_step_by_step_is_what_the_rules_made(db: Database) -> None:
    """Only differences are written; read again, they add up to the run."""
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    for fact in (CLAIMED, MESSAGE_STARTED, f.Restarted(0, NOW), f.CallsStarted(0, NOW), calls_made(CODE)):
        run = await store.save(run, after(run, fact))
        assert await store.get("run_1") == run
    run = await walk(store, run, f.ToolAnswered("c1", "2", NOW), CLAIMED, ANSWERED, f.Settled(NOW))
    assert await store.get("run_1") == run
    assert (run.status, run.version) == ("completed", 9)
    assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))


async def test_a_save_from_an_old_version_is_refused(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await store.save(run, after(run, CLAIMED))
    with pytest.raises(Stale):
        await store.save(run, after(run, CANCELLED))
    found = await store.get("run_1")
    assert found is not None
    assert found.status == "in_progress"


async def test_of_many_claims_at_once_one_wins(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))

    async def claim(owner: str) -> bool:
        step = replace(CLAIMED, owner=owner)
        return (await store.change(run, lambda r: advance(r, step)))[1]

    won = await asyncio.gather(*(claim(f"o{n}") for n in range(30)))
    assert sum(won) == 1
    assert (await stored(db))["epoch"] == 1
    assert (await stored(db))["owner"] == f"o{won.index(True)}"


async def test_forty_changes_at_once_are_all_made_and_none_twice(db: Database) -> None:
    """Each of 40 tool results counts once, though every one comes twice."""
    store = await opened(db)
    calls = tuple(CODE.evolve(id=f"c{n}") for n in range(20))
    run = await store.add(created(new_run(), NOW))
    run = await walk(store, run, CLAIMED, f.CallsStarted(0, NOW), calls_made(*calls))

    async def answer(call_id: str) -> bool:
        fact, known = f.ToolAnswered(call_id, call_id, NOW), run
        while True:
            try:
                return (await store.change(known, lambda r: advance(r, fact)))[1]
            except Stale:
                known = await store.get("run_1") or known  # as a redelivered record would

    made = await asyncio.gather(*(answer(call.id) for call in calls for _ in range(2)))
    assert sum(made) == 20
    found = await store.get("run_1")
    assert found is not None
    assert [call.output for call in found.steps[0].calls] == [call.id for call in calls]
    assert (found.phase, found.version) == ("runnable", run.version + 20)
    assert [event.seq for event in found.events] == list(range(1, len(found.events) + 1))


async def test_a_thread_takes_one_of_thirty_runs(db: Database) -> None:
    store = await opened(db)

    async def add(n: int) -> Run | None:
        try:
            return await store.add(created(new_run(f"run_{n}"), NOW))
        except ThreadBusy:
            return None

    added = [run for run in await asyncio.gather(*(add(n) for n in range(30))) if run]
    assert len(added) == 1
    assert await store.active_id("thread_1") == added[0].id
    assert await db["runs"].count_documents({}) == 1


async def test_the_end_of_a_run_frees_its_thread_and_the_list_goes_on(db: Database) -> None:
    store = await opened(db)
    for n in range(1, 4):
        run = await store.add(created(new_run(f"run_{n}"), NOW))
        assert run.seq == n
        await walk(store, run, CANCELLED, f.Settled(NOW))
        assert await store.active_id("thread_1") is None
        assert "active" not in await stored(db, f"run_{n}")
    runs, has_more = await store.page("thread_1", PageQuery(limit=2))
    assert ([run.id for run in runs], has_more) == (["run_3", "run_2"], True)


async def test_threads_do_not_wait_for_one_another(db: Database) -> None:
    store = await opened(db)
    runs = [created(new_run(f"run_{n}").evolve(thread_id=f"thread_{n}"), NOW) for n in range(20)]
    assert len(await asyncio.gather(*map(store.add, runs))) == 20


async def test_a_heartbeat_renews_what_is_the_owner_s(db: Database) -> None:
    store = await opened(db)
    for n, owner in enumerate(["a", "b"]):
        run = await store.add(created(new_run(f"run_{n}").evolve(thread_id=f"thread_{n}"), NOW))
        await walk(store, run, replace(CLAIMED, owner=owner))
    await store.heartbeat(["run_0", "run_1"], "a", now=NOW, wake_at=NOW + 99)
    assert (await stored(db, "run_0"))["wake_at"] == NOW + 99
    assert (await stored(db, "run_1"))["wake_at"] == NOW + CLAIMED.lease_s
    assert await store.cancelling(["run_0", "run_1"]) == []


async def test_an_owner_that_does_not_end_its_run_loses_it(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    run = await walk(store, run, CLAIMED)
    await store.heartbeat([run.id], "a", now=run.expires_at, wake_at=NOW + 9999)
    await walk(store, run, CANCELLED)
    await store.heartbeat([run.id], "a", now=NOW, wake_at=NOW + 9999)
    assert (await stored(db))["wake_at"] == NOW + CANCEL_S


async def test_a_heartbeat_neither_loses_nor_causes_a_save(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    run = await walk(store, run, CLAIMED)
    await store.heartbeat([run.id], "a", now=NOW, wake_at=NOW + 99)
    run = await store.save(run, after(run, MESSAGE_STARTED))
    assert (await stored(db))["wake_at"] == NOW + 99


async def test_cancellations_of_an_owner_are_found(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await walk(store, run, CLAIMED, CANCELLED)
    assert await store.cancelling(["run_1", "run_2"]) == ["run_1"]
    assert await store.cancelling(["run_2"]) == []


@pytest.mark.parametrize(
    ("now", "due"),
    [(NOW + 0.9, False), (NOW + 1, True)],
)
async def test_a_queued_run_is_due_when_its_command_should_have_come(
    db: Database, now: float, due: bool
) -> None:
    store = await opened(db)
    await store.add(created(new_run(), NOW))
    assert bool(await store.due(now)) == due


async def test_an_ended_run_is_never_due(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await walk(store, run, CLAIMED, CANCELLED, of_epoch(f.Stopped(0, NOW), 1), f.Settled(NOW))
    assert await store.due(NOW + 10**6) == []


async def test_an_end_is_announced_until_all_of_it_is_published(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    run = await walk(store, run, CANCELLED, f.Settled(NOW))
    assert [r.id for r in await store.unannounced(NOW + ANNOUNCE_S)] == ["run_1"]
    await store.mark_published(run.evolve(published=Published(generation="g", n=2)))
    assert [r.published.n for r in await store.unannounced(NOW + ANNOUNCE_S)] == [2]
    await store.mark_published(run.evolve(published=Published(generation="g", n=len(run.events))))
    assert await store.unannounced(NOW + 99) == []


async def test_a_run_that_waits_for_its_client_is_looked_at_until_all_of_it_is_published(
    db: Database,
) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    run = await walk(store, run, CLAIMED, CALLS_STARTED, calls_made(FUNCTION))
    assert [r.phase for r in await store.due(NOW + ANNOUNCE_S)] == ["user"]
    await store.mark_published(run.evolve(published=Published(generation="g", n=len(run.events))))
    assert await store.due(run.expires_at - 1) == []
    assert [r.id for r in await store.due(run.expires_at)] == ["run_1"]


async def test_a_watermark_of_an_old_version_is_not_noted(db: Database) -> None:
    """Else the events of a change in between would never be published."""
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await store.save(run, after(run, CLAIMED))
    await store.mark_published(run.evolve(published=Published(generation="g", n=2)))
    assert (await stored(db))["published"]["n"] == 0


async def test_what_only_a_forgotten_broker_saw_is_published_again(db: Database) -> None:
    store = await opened(db)
    ended, waiting = (CANCELLED, f.Settled(NOW)), (CLAIMED, CALLS_STARTED, calls_made(FUNCTION))
    stories = [(ended, "old"), (ended, "new"), (waiting, "old"), (waiting, "new")]
    for n, (facts, generation) in enumerate(stories):
        run = await store.add(created(new_run(f"run_{n}").evolve(thread_id=f"thread_{n}"), NOW))
        run = await walk(store, run, *facts)
        await store.mark_published(run.evolve(published=Published(generation=generation, n=len(run.events))))
    assert await store.publish_again("old", since=NOW - 1, now=NOW) == 2
    assert [run.id for run in await store.unannounced(NOW)] == ["run_0"]
    assert [run.id for run in await store.due(NOW)] == ["run_2"]
    assert await store.publish_again("older", since=NOW - 1, now=NOW) == 0


async def test_a_slot_is_added_beside_changes(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await store.add_slot("run_1", Slot(slot=3, stream="s"))
    await store.save(run, after(run, CLAIMED))
    assert parse(await stored(db)).slots == (Slot(slot=3, stream="s"),)


async def test_a_run_that_is_gone_cannot_be_changed(db: Database) -> None:
    store = await opened(db)
    with pytest.raises(Stale):
        await store.change(created(new_run(), NOW), lambda r: advance(r, CLAIMED))


async def test_readers_pass_over_fields_of_a_later_version(db: Database) -> None:
    store = await opened(db)
    run = await store.add(created(new_run(), NOW))
    await db["runs"].update_one({"_id": "run_1"}, {"$set": {"from_the_future": 1}})
    assert await store.get("run_1") == run
