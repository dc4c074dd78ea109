"""Every method of the stores of keys, requests and usage, called for ``test_queries.py``."""

from services.gateway.stores.keys import KeyStore
from services.gateway.stores.requests import RequestStore
from services.gateway.stores.usage import UsageStore
from shared.stores.database import Database, Document
from tests.contract.query_log import Called

MANY = 300
NOW = 1_000_000.0


async def of_keys(db: Database) -> Called:
    called = Called(KeyStore(db))
    await called.add("kid", {"created_at": 1})
    await called.get("kid")
    await called.used("kid", 2)
    await called.revoke("kid", 3)
    await called.all()
    return called


async def of_requests(db: Database) -> Called:
    called = Called(RequestStore(db))
    await called.create_indexes()

    def record(n: int) -> Document:
        common = {"until": NOW, "gone_at": NOW + n, "answer": None}
        return {"_id": f"r{n}", "seed": f"s{n}", "request": f"q{n % 50}", "owner": f"o{n % 50}", **common}

    await db["requests"].insert_many([record(n) for n in range(MANY)])
    assert not await called.add(record(1))
    found = await called.get("r1")
    await called.unanswered("q1", NOW)
    assert await called.claim(found, "me", NOW + 5, NOW + 100)
    await called.renew(["r1"], "me", NOW + 6)
    await called.keep_answer("r2", "o2", {})
    await called.let_go("r1", "me", NOW + 100)
    await called.forget(["r3", "r4"], "o3")
    await called.forget_old(NOW + 10)
    return called


async def of_usage(db: Database) -> Called:
    called = Called(UsageStore(db))

    async def ended(run_id: str) -> bool | None:
        return run_id == "run_1"

    for now in (NOW, NOW + 1, NOW + 100):
        await called.spend("kid", most_requests=1, most_tokens=10, tokens=3, now=now)
    for run in ("run_1", "run_2", "run_3"):
        await called.reserve_run("kid", run, most=1, now=NOW, ended=ended)
    await called.release_run("kid", "run_2")
    return called
