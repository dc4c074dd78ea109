"""Runs that search files: real broker, real store, scripted model, and a double of tool_retrieval."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from shared.events import Control
from shared.ids import new_id
from shared.runs.facts import CancelRequested
from shared.runs.model import Json, Run
from shared.runs.rules import advance
from shared.stores.database import Database
from shared.stores.vector_store_files import VectorStoreFiles, new_file
from shared.stores.vector_stores import DAY_S, VectorStores
from tests.integration.orchestrators import FILE_SEARCH, Client, orchestrator, orchestrator_settings
from tests.integration.searcher import Searcher, passage, searching
from tests.model_script import call, say, search
from tests.model_server import ModelServer

SKY = passage("file-1", "sky.txt", "The sky is blue.", score=0.9, quote="is blue")
SEA = passage("file-2", "sea 🌊.md", "The sea is deep.", score=0.4)
WAIT_S = 3.0


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def parts(
    kafka_bootstrap: str, mongo_url: str, db: Database, model: ModelServer
) -> AsyncIterator[tuple[Client, Searcher]]:
    settings = orchestrator_settings(
        kafka_bootstrap, mongo_url, db, model, ingest_wait_s=WAIT_S, concurrent_turns=1
    )
    async with searching(settings, db) as searcher, orchestrator(settings, db) as client:
        searcher.finds = [SKY, SEA]
        yield client, searcher


@pytest.fixture
def client(parts: tuple[Client, Searcher]) -> Client:
    return parts[0]


@pytest.fixture
def searcher(parts: tuple[Client, Searcher]) -> Searcher:
    return parts[1]


async def new_store(
    db: Database, *statuses: str, active_at: float | None = None, days: int | None = None
) -> str:
    """A vector store with a file of each of ``statuses``."""
    store, now = new_id("vs"), time.time()
    policy = {"anchor": "last_active_at", "days": days} if days else None
    fields = {"name": None, "description": None, "metadata": {}, "expires_after": policy, "helper": False}
    await VectorStores(db).add(store, "p", fields, active_at or now)
    files = []
    for n, status in enumerate(statuses):
        file = {"_id": f"file-{n}", "project_id": "p", "filename": f"{status} {n}.txt"}
        new = new_file(file, store, seq=n, now=now, chunking={}, attributes={})
        files.append(new | {"status": status})
    if files:
        await VectorStoreFiles(db).add(files)
    return store


async def finish_files(db: Database, store: str) -> None:
    await db["vector_store_files"].update_many({"vector_store_id": store}, {"$set": {"status": "completed"}})


async def create(client: Client, stores: Sequence[str], awaited: Sequence[str] = (), **settings: Any) -> Run:
    resources = {"file_search": {"vector_store_ids": list(stores)}}
    return await client.create_run(
        tools=(FILE_SEARCH,), tool_resources=resources, awaited_stores=tuple(awaited), **settings
    )


def annotations(run: Run) -> list[Json]:
    found: list[Json] = run.steps[-1].content[0]["text"]["annotations"]
    return found


async def test_a_search_is_asked_for_and_the_answer_cites_what_it_found(
    client: Client, searcher: Searcher, model: ModelServer, db: Database
) -> None:
    searcher.times = 3
    store = await new_store(db, "completed", "failed")
    model.script(
        call(search("colour of the sky?", "depth"), say_first="Let me look."),
        say("Blue 【2:0†sky", ".txt】【2:7†no.txt】, deep【2:1†source】.", " And【2:1†sea _.md】"),
    )
    run = await client.until(await create(client, [store], tool_choice={"type": "file_search"}), "completed")
    (request,) = searcher.requests
    assert (request.queries, request.vector_store_ids) == (("colour of the sky?", "depth"), (store,))
    assert (request.run_id, request.thread_id, request.project_id) == (run.id, run.thread_id, "p")
    (made,) = run.steps[1].calls
    assert [each["file_name"] for each in made.results] == ["sky.txt", "sea 🌊.md"]
    assert "text" not in made.results[0]

    first, second = (each.body for each in model.requests)
    assert first["tool_choice"] == {"type": "function", "function": {"name": "file_search"}}
    assert first["messages"][0]["content"] == (
        "Files that file_search can find passages in: completed 0.txt.\n"
        "Could not be read, and so cannot be searched: failed 1.txt."
    )
    told = second["messages"][-1]
    assert told["tool_call_id"] == made.id
    assert "【2:0†sky.txt】 score 0.90" in told["content"]
    assert "The sky is blue." in told["content"]
    assert "【2:1†sea _.md】" in told["content"]

    text = run.steps[-1].content[0]["text"]["value"]
    assert text == "Blue 【2:0†sky.txt】, deep【2:1†source】. And【2:1†sea _.md】"
    assert [each["file_citation"]["file_id"] for each in annotations(run)] == ["file-1", "file-2", "file-2"]
    assert annotations(run)[0]["file_citation"]["quote"] == "is blue"
    for each in annotations(run):
        assert text[each["start_index"] : each["end_index"]] == each["text"]
    assert (await client.texts(run.thread_id))[-1] == text


async def test_what_an_earlier_run_cited_may_be_cited_again(
    client: Client, searcher: Searcher, model: ModelServer, db: Database
) -> None:
    store = await new_store(db, "completed")
    model.script(call(search("sky")), say("Blue【2:0†sky.txt】."))
    first = await client.until(await create(client, [store]), "completed")
    model.script(
        call(search("sky")), say("Said【2:0†sky.txt】, found【4:0†sky.txt】, made up【3:0†sky.txt】.")
    )
    run = await client.until(await create(client, [store], thread_id=first.thread_id), "completed")
    said = model.requests[-1].body["messages"]
    assert "Blue【2:0†sky.txt】." in [message.get("content") for message in said]
    text = run.steps[-1].content[0]["text"]["value"]
    assert text == "Said【2:0†sky.txt】, found【4:0†sky.txt】, made up."
    assert [each["file_citation"]["file_id"] for each in annotations(run)] == ["file-1", "file-1"]


async def test_a_search_that_failed_or_found_nothing_is_told_as_such(
    client: Client, searcher: Searcher, model: ModelServer, db: Database
) -> None:
    store = await new_store(db, "completed")
    searcher.finds = []
    for output, told in (("", "Nothing was found."), ("The search failed.", "The search failed.")):
        searcher.output = output
        model.script(call(search("sky")), say("I do not know."))
        await client.until(await create(client, [store]), "completed")
        assert model.requests[-1].body["messages"][-1]["content"] == told


async def test_without_a_vector_store_there_is_nothing_to_search(
    client: Client, searcher: Searcher, model: ModelServer
) -> None:
    model.script(call(search("sky")), say("I have no files."))
    run = await client.until(await create(client, []), "completed", within_s=60)
    assert searcher.requests == []
    assert run.steps[0].calls[0].output == "There are no files to search."


async def test_a_run_waits_for_the_files_of_its_thread_in_nobody_s_way(
    client: Client, model: ModelServer, db: Database
) -> None:
    store = await new_store(db, "completed", "in_progress")
    waiting = await create(client, [store], [store])
    await client.until(waiting, "in_progress")
    model.script(say("Hi."), model="other")
    other = await client.create_run(model="other")  # there is one place only
    await client.until(other, "completed", within_s=WAIT_S)
    assert (await client.until(waiting, "in_progress")).steps == ()
    model.script(say("Ready."))
    await finish_files(db, store)
    await client.until(waiting, "completed", within_s=WAIT_S)
    assert "not ready" not in model.requests[-1].body["messages"][0]["content"].lower()


async def test_it_does_not_wait_for_ever(client: Client, model: ModelServer, db: Database) -> None:
    store = await new_store(db, "completed", "in_progress")
    model.script(say("Never mind."))
    run = await create(client, [store], [store])
    ended = await client.until(run, "completed", within_s=WAIT_S * 4)
    assert ended.events[-1].at - ended.events[2].at >= WAIT_S - 1  # started_at is in whole seconds
    assert (
        "Not ready to be searched yet: in_progress 1.txt." in model.requests[0].body["messages"][0]["content"]
    )


@pytest.mark.parametrize(
    ("statuses", "waits"), [(("completed", "in_progress"), False), (("in_progress",), True)]
)
async def test_it_waits_for_its_assistant_s_files_only_if_none_can_be_searched(
    client: Client, model: ModelServer, db: Database, statuses: tuple[str, ...], waits: bool
) -> None:
    store = await new_store(db, *statuses)
    model.script(say("Hi."))
    run = await create(client, [store])
    if waits:
        await client.until(run, "in_progress")
        await asyncio.sleep(0.3)  # so long it would not take
        assert model.requests == []
        await finish_files(db, store)
    await client.until(run, "completed", within_s=WAIT_S - 0.5)


async def test_a_waiting_run_can_be_cancelled(client: Client, model: ModelServer, db: Database) -> None:
    store = await new_store(db, "in_progress")
    run = await client.until(await create(client, [store], [store]), "in_progress")
    asked = CancelRequested(time.time())
    await client.runs.change(run, lambda r: advance(r, asked))
    await client.publisher.control(Control(run_id=run.id, thread_id=run.thread_id))
    await client.until(run, "cancelled", within_s=2)
    assert model.requests == []


async def test_an_expired_store_fails_the_run(client: Client, model: ModelServer, db: Database) -> None:
    good = await new_store(db, "completed")
    gone = await new_store(db, "completed", active_at=time.time() - 2 * DAY_S, days=1)
    run = await client.until(await create(client, [good, gone]), "failed")
    assert run.outcome is not None
    assert run.outcome.last_error is not None
    assert run.outcome.last_error.message == f"Vector store {gone} has expired."
    assert model.requests == []


async def test_a_run_keeps_its_stores_from_expiring(client: Client, model: ModelServer, db: Database) -> None:
    store = await new_store(db, "completed", active_at=time.time() - DAY_S / 2, days=1)
    model.script(say("Hi."))
    await client.until(await create(client, [store]), "completed")
    found = await VectorStores(db).get("p", store)
    assert found is not None
    assert found["last_active_at"] >= time.time() - 60
    assert found["gone_at"] >= time.time() + DAY_S - 60


async def test_a_lost_request_is_sent_again(
    client: Client, searcher: Searcher, model: ModelServer, db: Database
) -> None:
    """What the sweeper finds in the phase of tools, it asks for once more."""
    store = await new_store(db, "completed")
    answer = searcher.answer

    async def lose(request: object, *rest: object) -> None:
        searcher.answer = answer  # type: ignore[method-assign]

    searcher.answer = lose  # type: ignore[method-assign,assignment]
    model.script(call(search("sky")), say("Blue【2:0†sky.txt】."))
    run = await create(client, [store])
    run = await client.until(run, "completed", within_s=60)
    assert len(searcher.requests) == 1
    assert run.steps[0].calls[0].results
