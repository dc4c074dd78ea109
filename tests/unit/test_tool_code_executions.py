"""The ledger of calls on a real store: who may execute, and whose result stays."""

import asyncio

from shared.stores.database import Database
from shared.stores.executions import KEEP_S, Claim, ExecutionStore

NOW = 1_000_000.0
LEASE_S = 15.0
RESULT = {"output": "2", "logs": "2\n"}


def ledger(db: Database, owner: str) -> ExecutionStore:
    return ExecutionStore(db, owner, LEASE_S)


async def test_of_thirty_workers_one_executes_the_call(db: Database) -> None:
    claims = await asyncio.gather(*(ledger(db, f"w{n}").claim("c1", "run_1", NOW) for n in range(30)))
    assert [claim.wait_until for claim in claims].count(None) == 1
    assert all(claim.result is None for claim in claims)
    assert {claim.wait_until for claim in claims} == {None, NOW + LEASE_S}


async def test_of_thirty_workers_one_takes_a_lapsed_call_over(db: Database) -> None:
    await ledger(db, "dead").claim("c1", "run_1", NOW)
    late = NOW + LEASE_S
    claims = await asyncio.gather(*(ledger(db, f"w{n}").claim("c1", "run_1", late) for n in range(30)))
    won = [claim for claim in claims if claim.wait_until is None]
    assert won == [Claim(attempt=2)]
    kept = await db["tool_executions"].find_one({"_id": "c1"})
    assert kept is not None
    assert (kept["attempt"], kept["until"]) == (2, late + LEASE_S)


async def test_a_repeat_gets_the_first_result(db: Database) -> None:
    first, second = ledger(db, "a"), ledger(db, "b")
    await first.claim("c1", "run_1", NOW)
    assert await first.finish("c1", 1, RESULT)
    for store in (first, second):
        assert await store.claim("c1", "run_1", NOW + 999) == Claim(1, result=RESULT)
    assert not await first.finish("c1", 1, {"output": "3", "logs": ""})


async def test_a_worker_that_was_taken_over_cannot_answer(db: Database) -> None:
    first, second = ledger(db, "a"), ledger(db, "b")
    await first.claim("c1", "run_1", NOW)
    await second.claim("c1", "run_1", NOW + LEASE_S)
    assert not await first.finish("c1", 1, RESULT)
    assert await second.finish("c1", 2, RESULT)


async def test_a_worker_does_not_compete_with_itself(db: Database) -> None:
    store = ledger(db, "a")
    await store.claim("c1", "run_1", NOW)
    for now in (NOW, NOW + LEASE_S):  # a lease that could not be renewed, too
        assert (await store.claim("c1", "run_1", now)).wait_until is not None
    assert await store.finish("c1", 1, RESULT)


async def test_a_worker_takes_up_at_once_what_it_claimed_without_hearing_so(db: Database) -> None:
    """The store's answer was lost: in this life of the process nobody executes the call."""
    await ledger(db, "a").claim("c1", "run_1", NOW)
    store = ledger(db, "a")
    await store.heartbeat(NOW + 10)
    assert await store.claim("c1", "run_1", NOW) == Claim(attempt=2)
    assert await store.finish("c1", 2, RESULT)


async def test_a_released_call_is_free_at_once(db: Database) -> None:
    first, second = ledger(db, "a"), ledger(db, "b")
    await first.claim("c1", "run_1", NOW)
    await second.release("c1", 1)
    assert (await second.claim("c1", "run_1", NOW)).wait_until is not None
    await first.release("c1", 1)
    assert await second.claim("c1", "run_1", NOW) == Claim(attempt=2)


async def test_a_heartbeat_keeps_a_worker_s_calls_and_no_others(db: Database) -> None:
    first, second = ledger(db, "a"), ledger(db, "b")
    await first.claim("c1", "run_1", NOW)
    await second.claim("c2", "run_1", NOW)
    await first.heartbeat(NOW + 10)
    third = ledger(db, "c")
    assert (await third.claim("c1", "run_1", NOW + LEASE_S)).wait_until == NOW + 10 + LEASE_S
    assert await third.claim("c2", "run_1", NOW + LEASE_S) == Claim(attempt=2)


async def test_old_results_are_forgotten_and_running_calls_are_not(db: Database) -> None:
    store = ledger(db, "a")
    await store.create_indexes()
    await store.claim("c1", "run_1", NOW)
    await store.claim("c2", "run_1", NOW)
    await store.finish("c1", 1, RESULT)
    await store.forget_old(NOW + KEEP_S)
    assert await db["tool_executions"].count_documents({}) == 2
    await store.forget_old(NOW + KEEP_S + 1)
    assert [d["_id"] async for d in db["tool_executions"].find({})] == ["c2"]
