"""A POST that has to be sent again is answered again, not done again."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openai import OpenAI
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from services.gateway.attempt import Attempt
from services.gateway.auth import Caller, Key
from services.gateway.connections import Connection
from services.gateway.idempotency import Idempotency, what_is_asked
from services.gateway.ledger import Ledger
from services.gateway.run_creation import add_messages
from services.gateway.stores.all import Stores
from services.gateway.stores.requests import NOBODY, RequestStore
from services.gateway.version import Version
from services.gateway.wire.messages import CreateMessage
from shared.stores.database import connect
from tests.integration.losing_proxy import LosingProxy, When, losing_proxy
from tests.integration.running_gateway import KEY, V2, Api, Worker, api, running_gateway

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the SDK: the API was switched off
AGAIN = {"x-stainless-retry-count": "1"}
FIRST = {"x-stainless-retry-count": "0"}
HELLO = {"role": "user", "content": "Hello."}


@pytest.fixture
def direct(url: str) -> Iterator[Api]:
    made = api(url, V2)
    yield made
    made.client.close()


@pytest.fixture
def proxy(url: str) -> Iterator[LosingProxy]:
    with losing_proxy(url) as proxy:
        yield proxy


@pytest.fixture
def sdk(proxy: LosingProxy) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{proxy.url}/v1", api_key=KEY, max_retries=3, timeout=20) as client:
        yield client


def send(direct: Api, path: str, body: Any, **headers: str) -> httpx.Response:
    return direct.client.post(path, json=body, headers={**direct.headers, **headers})


LOSSES: tuple[When, ...] = ("asked", "answered", "half answered")


@pytest.mark.parametrize("when", LOSSES)
def test_the_sdk_makes_one_message_and_one_run_though_the_first_answers_are_lost(
    sdk: OpenAI, proxy: LosingProxy, direct: Api, when: When
) -> None:
    assistant, thread = direct.assistant(), direct.thread()
    proxy.when = when
    proxy.losses = 1
    message = sdk.beta.threads.messages.create(thread, role="user", content="Hello.")
    assert proxy.posts == 2
    assert [each["id"] for each in direct.get(f"/threads/{thread}/messages")["data"]] == [message.id]
    proxy.losses = 1
    run = sdk.beta.threads.runs.create(thread_id=thread, assistant_id=assistant)
    assert proxy.posts == 4
    assert [each["id"] for each in direct.get(f"/threads/{thread}/runs")["data"]] == [run.id]
    assert run.status == "queued"


def test_every_answer_but_the_last_may_be_lost(sdk: OpenAI, proxy: LosingProxy, direct: Api) -> None:
    thread = direct.thread()
    proxy.losses = 3
    message = sdk.beta.threads.messages.create(thread, role="user", content="Hello.")
    assert proxy.posts == 4
    assert [each["id"] for each in direct.get(f"/threads/{thread}/messages")["data"]] == [message.id]


def test_threads_assistants_and_both_with_a_run_are_made_once(
    sdk: OpenAI, proxy: LosingProxy, direct: Api
) -> None:
    proxy.losses = 1
    assistant = sdk.beta.assistants.create(model="gpt-4", name=uuid4().hex)
    named = [each for each in direct.get("/assistants", limit=100)["data"] if each["name"] == assistant.name]
    assert [each["id"] for each in named] == [assistant.id]
    proxy.losses = 1
    thread = sdk.beta.threads.create(messages=[{"role": "user", "content": text} for text in "abc"])
    texts = [m.content[0].text.value for m in sdk.beta.threads.messages.list(thread.id, order="asc")]  # type: ignore[union-attr]
    assert texts == ["a", "b", "c"]
    proxy.losses = 1
    both = sdk.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hello."}]}
    )
    assert len(direct.get(f"/threads/{both.thread_id}/messages")["data"]) == 1
    assert [each["id"] for each in direct.get(f"/threads/{both.thread_id}/runs")["data"]] == [both.id]


def test_a_stream_that_is_asked_for_again_is_the_stream_of_the_same_run(
    sdk: OpenAI, proxy: LosingProxy, direct: Api, mongo_url: str, database: str
) -> None:
    assistant, thread = direct.assistant(), direct.thread("Hello.")
    proxy.when = "half answered"
    proxy.losses = 1
    stream = sdk.beta.threads.runs.create(thread_id=thread, assistant_id=assistant, stream=True)
    assert proxy.posts == 2
    [run] = [each["id"] for each in direct.get(f"/threads/{thread}/runs")["data"]]
    finishing = threading.Thread(target=lambda: asyncio.run(finish(mongo_url, database, run)))
    finishing.start()
    events = [event.event for event in stream]
    finishing.join()
    assert events[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
    assert events[-1] in ("thread.run.completed", "done")
    assert len([event for event in events if event == "thread.run.created"]) == 1


async def finish(mongo_url: str, database: str, run: str) -> None:
    worker = Worker(mongo_url, database)
    await worker.finish(run)
    worker.close()


def test_tool_outputs_and_a_cancel_that_come_again_are_answered_again(
    sdk: OpenAI, proxy: LosingProxy, direct: Api, mongo_url: str, database: str
) -> None:
    async def ask(run: str) -> None:
        worker = Worker(mongo_url, database)
        await worker.ask(run, ("call_1", "f"))
        worker.close()

    assistant, thread = direct.assistant(), direct.thread("Hello.")
    run = direct.post(f"/threads/{thread}/runs", {"assistant_id": assistant})["id"]
    asyncio.run(ask(run))
    proxy.losses = 1
    answered = sdk.beta.threads.runs.submit_tool_outputs(
        run, thread_id=thread, tool_outputs=[{"tool_call_id": "call_1", "output": "1"}]
    )
    assert (answered.id, answered.status) == (run, "queued")
    proxy.losses = 1
    assert sdk.beta.threads.runs.cancel(run, thread_id=thread).status in ("cancelling", "cancelled")
    assert proxy.posts == 4


def test_an_answer_that_arrived_is_not_given_twice(direct: Api) -> None:
    thread = direct.thread()
    path = f"/threads/{thread}/messages"
    made = [send(direct, path, HELLO, **FIRST).json()["id"] for _ in range(2)]
    made.append(send(direct, path, HELLO, **AGAIN).json()["id"])
    made.append(send(direct, path, HELLO).json()["id"])
    assert len(set(made)) == 4


def test_many_who_ask_the_same_do_not_get_each_others_objects(direct: Api) -> None:
    """An empty thread is asked for in the same words by everybody."""
    with ThreadPoolExecutor(8) as pool:
        headers = [FIRST, FIRST, AGAIN] * 8
        made = list(pool.map(lambda each: send(direct, "/threads", {}, **each).json()["id"], headers))
    assert len(set(made)) == len(made)


async def test_what_a_killed_gateway_began_is_finished_under_the_same_ids(
    kafka_bootstrap: str, mongo_url: str
) -> None:
    """Its record is there, and what it made; its answer never left."""
    database = f"gateway_{uuid4().hex[:12]}"
    db = connect(mongo_url, database)

    def made_by_two() -> tuple[str, list[str]]:
        with running_gateway(kafka_bootstrap, mongo_url, database) as url:
            client = api(url, V2)
            thread = client.thread()
            path = f"/threads/{thread}/messages"
            first = threading.Thread(target=lambda: asyncio.run(begin_and_die(db.name, mongo_url, thread)))
            first.start()
            first.join()
            began = time.monotonic()
            again = send(client, path, HELLO, **AGAIN)
            assert again.status_code == 200, again.text
            assert time.monotonic() - began < 10
            found = [each["id"] for each in client.get(path)["data"]]
            client.client.close()
            return again.json()["id"], found

    made, found = await asyncio.to_thread(made_by_two)
    assert found == [made]
    assert await db["requests"].count_documents({"owner": "gateway_dead"}) == 0
    db.client.close()


async def test_a_thread_that_a_killed_gateway_made_is_given_to_nobody_else(
    direct: Api, mongo_url: str, database: str
) -> None:
    """It may have been answered, and everybody asks for an empty thread in the same words."""
    scope = {"key": Key("bootstrap", "default"), "method": "POST", "path": "/v1/threads", "query_string": b""}
    request = what_is_asked(scope, Headers({"openai-beta": "assistants=v2"}), b"{}")
    db = connect(mongo_url, database)

    async def begun_by(seed: str, owner: str) -> str:
        record = {"_id": seed, "seed": seed, "request": request, "owner": owner}
        await RequestStore(db).add(record | {"until": 0.0, "gone_at": time.time() + 120})
        return Attempt(seed).first_id("thread")

    lost = await begun_by(uuid4().hex, NOBODY)
    await begun_by(uuid4().hex, "gateway_dead")

    def asked_again() -> str:
        return str(send(direct, "/threads", {}, **AGAIN).json()["id"])

    made = [await asyncio.to_thread(asked_again) for _ in range(2)]
    assert made[0] == lost  # known not to have been answered
    left = [record["owner"] for record in await RequestStore(db).unanswered(request, time.time())]
    assert "gateway_dead" in left
    assert len(set(made)) == 2
    db.client.close()


class Left(Connection):
    gone = True


async def test_who_left_before_the_request_was_noted_is_not_served(mongo_url: str) -> None:
    """It may have asked again meanwhile, and found nothing noted: the message would be there twice."""
    db = connect(mongo_url, f"gateway_{uuid4().hex[:12]}")
    served, sent = list[Scope](), list[Message]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/assistants", "query_string": b""}
    scope["key"], scope["headers"] = Key("bootstrap", "default"), [(b"x-stainless-retry-count", b"0")]
    scope["connection"] = Left(scope, receive)
    await Idempotency(app, ledger=Ledger(RequestStore(db)))(scope, receive, send)
    assert served == []
    assert sent[0]["status"] == 499
    request = what_is_asked(scope, Headers(scope=scope), b"{}")
    assert [each["owner"] for each in await RequestStore(db).unanswered(request, time.time())] == [NOBODY]
    await db.client.drop_database(db.name)
    db.client.close()


async def begin_and_die(database: str, mongo_url: str, thread: str) -> None:
    """As a gateway does up to its end, right behind the insert of the message."""

    db = connect(mongo_url, database)
    key = Key("bootstrap", "default")
    scope = {"key": key, "method": "POST", "path": f"/v1/threads/{thread}/messages", "query_string": b""}
    body = b'{"role":"user","content":"Hello."}'
    request = what_is_asked(scope, Headers({"openai-beta": "assistants=v2"}), body)
    record = {"_id": "seed", "seed": "seed", "request": request, "owner": "gateway_dead"}
    await RequestStore(db).add(record | {"until": time.time() + 2, "gone_at": time.time() + 120})
    caller = Caller(key, Version.V2, Attempt("seed"))
    await add_messages(Stores.of(db), caller, thread, [CreateMessage(role="user", content="Hello.")])
    db.client.close()


def test_a_day_later_nothing_is_left(direct: Api, mongo_url: str, database: str) -> None:
    """What arrived leaves no record; the rest goes with its time."""

    async def left(sweep_at: float | None = None) -> int:
        db = connect(mongo_url, database)
        if sweep_at:
            await RequestStore(db).forget_old(sweep_at)
        count = await db["requests"].count_documents({})
        db.client.close()
        return count

    asyncio.run(left(time.time() + 25 * 3600))
    send(direct, "/threads", {}, **FIRST)
    deadline = time.monotonic() + 5
    while asyncio.run(left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert asyncio.run(left()) == 0
