"""Every query of the services is answered by an index: none reads a whole collection.

Queries are not listed here: they are recorded while every method of every store is called.
A store, a method or a collection that nobody calls here fails a test.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
import pytest_asyncio

from services.gateway.stores.assistants import AssistantStore
from services.gateway.stores.threads import ThreadStore
from services.gateway.stream.lease import SlotLease
from services.gateway.stream.pace import Pace
from services.run_orchestrator.brokers import BrokerStore
from services.tool_code.sandbox.backend import Backend
from services.tool_code.sessions import Held, Sessions
from shared.stores.database import Database
from shared.stores.executions import ExecutionStore
from shared.stores.files import FileStore
from shared.stores.numbered import WIDEST
from tests.contract.exercises_of_keys import of_keys, of_requests, of_usage
from tests.contract.exercises_of_retrieval import of_file_claims, of_parsed_files, of_searches, of_tables
from tests.contract.exercises_of_threads import MANY, PAGES, of_messages, of_runs
from tests.contract.exercises_of_vector_stores import (
    of_file_batches,
    of_vector_store_files,
    of_vector_stores,
)
from tests.contract.query_log import Called, Query, QueryLog, index_of, recording
from tests.unit.run_samples import NOW

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
READ_WHOLE = {"api_keys", "brokers", "gateway_slots"}  # a handful of documents each, wanted all


class NoSandbox:
    """The sandboxes are of no interest here, only what is noted of them."""

    async def start(self, thread_id: str) -> None:
        pass


async def of_assistants(db: Database) -> Called:
    called = Called(AssistantStore(db))
    await called.create_indexes()
    for name in ["2", "4", *map(str, range(10, MANY))]:
        assistant = {"_id": name, "project_id": "p", "seq": int(name), "tools": [], "response_format": "auto"}
        await called.add(assistant)
    for query in PAGES:
        await called.page("p", query)
    await called.get("p", "2")
    await called.change("p", "2", lambda before: {"name": "x"})
    await called.forget_file("p", "file-1")
    await called.names_vector_store("p", "vs_1")
    await called.forget_vector_store("p", "vs_1")
    await called.delete("p", "2")
    return called


async def of_threads(db: Database) -> Called:
    called = Called(ThreadStore(db))
    await called.create_indexes()
    for n in range(MANY):
        await called.add({"_id": f"{n}", "project_id": "p", "seq": n, "metadata": {"user": f"{n % 7}"}})
    for query in PAGES:
        await called.page("p", query, {})
        await called.page("p", query, {"user": "1"})
    await called.get("p", "2")
    await called.change("p", "2", lambda before: {"metadata": {}})
    await called.forget_file("p", "file-1")
    await called.names_vector_store("p", "vs_1")
    await called.forget_vector_store("p", "vs_1")
    called.missing.discard("pull")  # which that one calls
    await called.delete("p", "2")
    return called


async def of_files(db: Database) -> Called:
    called = Called(FileStore(db))
    await called.create_indexes()
    fields = {"purpose": "assistants", "filename": "a.txt", "bytes": 1, "expires_at": None}
    for name in ["2", "4", *map(str, range(10, MANY))]:
        await called.expect(name, "p", NOW)
        await called.renew(name, NOW)
        if int(name) < MANY // 2:
            await called.complete(name, "p", fields, NOW)
    await called.give_up("299", NOW)
    for query in PAGES:
        await called.page("p", query, purpose=None, now=NOW)
        await called.page("p", query, purpose="assistants", now=NOW)
    await called.get_many("p", ["2", "4"], NOW)
    await called.delete(await called.get("p", "2", NOW), NOW)
    await called.claim_leftovers(NOW)
    await called.removed("2")
    return called


async def of_executions(db: Database) -> Called:
    first, second = (ExecutionStore(db, owner, lease_s=10) for owner in "ab")
    called = Called(first)
    await called.create_indexes()
    await db["tool_executions"].insert_many(
        [{"_id": f"c{n}", "owner": f"o{n}", "done": n % 2 == 0, "at": NOW, "until": NOW} for n in range(MANY)]
    )
    await called.claim("call", "run", NOW)
    await second.claim("call", "run", NOW + 20)
    await called.finish("call", 1, {})
    await called.release("call", 1)
    await called.heartbeat(NOW)
    await called.forget_old(NOW)
    return called


async def of_sessions(db: Database) -> Called:
    called = Called(Sessions(db, cast(Backend, NoSandbox()), "a", idle_s=1, most=9))
    held = Held()
    await called.start("thread_1", held)
    await called.note_call("thread_1", held)
    await called.evict_idle()
    await called.close()
    return called


async def of_brokers(db: Database) -> Called:
    called = Called(BrokerStore(db))
    await called.note("g1", NOW)
    await called.note("g2", NOW + 1)
    assert await called.replaced("g2", NOW + 2) == {"g1": NOW + 2}
    await called.forget("g1")
    return called


async def of_slots(db: Database) -> Called:
    """A slot taken, another that lapsed taken over; ``hold`` does as ``take`` and waits between."""
    called = Called(SlotLease(db, "a", Pace()))
    await called.take()
    await called.release()
    called.missing.discard("hold")
    return called


EXERCISES: tuple[Callable[[Database], Awaitable[Called]], ...] = (
    of_runs,
    of_messages,
    of_assistants,
    of_threads,
    of_files,
    of_executions,
    of_sessions,
    of_brokers,
    of_slots,
    of_keys,
    of_requests,
    of_usage,
    of_searches,
    of_parsed_files,
    of_vector_stores,
    of_vector_store_files,
    of_file_batches,
    of_file_claims,
    of_tables,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(mongo_url: str) -> AsyncIterator[tuple[Database, QueryLog, list[Called]]]:
    with recording(mongo_url, f"test_{uuid4().hex[:12]}") as (db, log):
        called = [await exercise(db) for exercise in EXERCISES]
        log.queries = list({query.shape: query for query in log.queries}.values())
        yield db, log, called


def searched(log: QueryLog) -> Iterator[Query]:
    """An ``_id`` leads to one document on every MongoDB, whatever else the filter says.

    The embedded store does so too (2 ms among 20,000 documents), but its ``explain`` does not say it.
    """
    for query in log.queries:
        if not query.by_id and query.collection not in READ_WHOLE:
            yield query


async def test_every_method_of_every_store_was_called(
    recorded: tuple[Database, QueryLog, list[Called]],
) -> None:
    for called in recorded[2]:
        assert called.missing == set(), type(called._store).__name__


async def test_every_collection_was_used(recorded: tuple[Database, QueryLog, list[Called]]) -> None:
    sources = [*ROOT.glob("shared/**/*.py"), *ROOT.glob("services/**/*.py")]
    named = {name for path in sources for name in re.findall(r'\bdb\["(\w+)"\]', path.read_text())}
    assert named == {query.collection for query in recorded[1].queries}


async def test_no_query_reads_a_whole_collection(recorded: tuple[Database, QueryLog, list[Called]]) -> None:
    db, log, _ = recorded
    assert log.unknown == set(), "say in the log how it finds its documents"
    scans = [query.shape for query in searched(log) if not await index_of(db, query)]
    assert "\n".join(scans) == ""


async def test_the_filter_begins_with_the_fields_of_its_index(
    recorded: tuple[Database, QueryLog, list[Called]],
) -> None:
    """Equal fields first, then the one that is sorted by or compared: so that nothing is read in vain."""
    db, log, _ = recorded
    wasteful = []
    for query in searched(log):
        index = await index_of(db, query) or ()
        equal = {name for name, value in query.filter.items() if not isinstance(value, dict)}
        ordered = {*query.sort, *(query.filter.keys() - equal)}
        begun = len(list(takewhile(equal.__contains__, index)))
        if (begun == 0 and equal) or not ordered <= set(index[begun : begun + 1]):
            wasteful.append(f"{query.shape} by {index}")
    assert "\n".join(wasteful) == ""


async def test_no_query_needs_more_than_equality_ranges_and_lists(
    recorded: tuple[Database, QueryLog, list[Called]],
) -> None:
    allowed = {"$gt", "$gte", "$lt", "$lte", "$in"}
    for query in recorded[1].queries:
        assert not [name for name in query.filter if name.startswith("$")], query.shape
        for value in query.filter.values():
            if isinstance(value, dict) and any(key.startswith("$") for key in value):
                assert value.keys() <= allowed, query.shape


async def test_what_is_numbered_is_read_in_short_ranges(
    recorded: tuple[Database, QueryLog, list[Called]],
) -> None:
    """The embedded store sorts before it limits: an open range would cost what the thread costs."""
    ranges = [
        query.filter["seq"]
        for query in recorded[1].queries
        if query.collection in ("messages", "runs") and query.command == "find" and "seq" in query.filter
    ]
    assert any(isinstance(each, int) for each in ranges)
    assert any(isinstance(each, dict) for each in ranges)
    for each in ranges:
        assert isinstance(each, int) or each["$lt"] - each["$gte"] <= WIDEST
    for query in recorded[1].queries:
        assert not (query.collection in ("messages", "runs") and query.filter.keys() == {"thread_id"}) or (
            query.command == "delete"
        )


async def test_a_scan_would_be_noticed(recorded: tuple[Database, QueryLog, list[Called]]) -> None:
    assert await index_of(recorded[0], Query("find", "messages", {"role": "user"}, {})) is None
