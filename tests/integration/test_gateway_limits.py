"""Limits of a key: exact, shared by all gateways, told in headers; off unless set."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from services.gateway.stores.usage import UsageStore
from shared.stores.database import Database
from tests.integration.api_keys import PEPPER, make_key
from tests.integration.running_gateway import KEY, V2, Worker, running_gateway

MESSAGE = {"role": "user", "content": "x" * 400}


@pytest.fixture(scope="module")
def urls(kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[tuple[str, str]]:
    given: dict[str, Any] = {"key_pepper": SecretStr(PEPPER)}
    with (
        running_gateway(kafka_bootstrap, mongo_url, database, **given) as one,
        running_gateway(kafka_bootstrap, mongo_url, database, **given) as two,
    ):
        yield one, two


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=20)) as client:
        yield client


class Asking:
    def __init__(self, client: httpx.Client, url: str, key: str) -> None:
        self._client = client
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}", **V2}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {**self._headers, **headers}
        return self._client.request(method, f"{self._url}/v1{path}", json=body, headers=sent)

    def made(self, path: str, body: Any) -> str:
        answer = self("POST", path, body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


def test_of_200_requests_to_two_gateways_exactly_the_50_allowed_pass(
    urls: tuple[str, str], client: httpx.Client, mongo_url: str, database: str
) -> None:
    key = make_key(mongo_url, database, "a", limits={"requests_per_minute": 50})
    asking = [Asking(client, url, key) for url in urls]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: asking[n % 2]("GET", "/assistants"), range(200)))
    assert sorted({answer.status_code for answer in answers}) == [200, 429]
    assert len([answer for answer in answers if answer.status_code == 200]) == 50
    other = make_key(mongo_url, database, "a", limits={"requests_per_minute": 1})
    assert Asking(client, urls[0], other)("GET", "/assistants").status_code == 200


def test_what_is_left_is_told_and_what_is_too_much_is_refused_in_the_words_of_the_api(
    urls: tuple[str, str], client: httpx.Client, mongo_url: str, database: str
) -> None:
    ask = Asking(client, urls[0], make_key(mongo_url, database, "a", limits={"requests_per_minute": 2}))
    first, second, refused = (ask("GET", "/assistants") for _ in range(3))
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, refused)] == [
        "1",
        "0",
        "0",
    ]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert re.fullmatch(r"(1m0s|\d+(\.\d+)?s)", first.headers["x-ratelimit-reset-requests"])
    assert "x-ratelimit-limit-tokens" not in first.headers
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == ("requests", None, "rate_limit_exceeded")
    assert re.fullmatch(
        r"Rate limit reached in organization org-threadmill on requests per min \(RPM\): Limit 2, Used 2, "
        r"Requested 1\. Please try again in [\dms.]+\.",
        error["message"],
    )
    wait_ms = int(refused.headers["retry-after-ms"])
    assert 0 < wait_ms <= 60_000
    assert int(refused.headers["retry-after"]) * 1000 >= wait_ms
    assert refused.headers["x-request-id"]


def test_tokens_are_counted_where_text_comes_in(
    urls: tuple[str, str], client: httpx.Client, mongo_url: str, database: str
) -> None:
    ask = Asking(client, urls[0], make_key(mongo_url, database, "a", limits={"tokens_per_minute": 300}))
    thread = ask.made("/threads", {})
    passed = [ask("POST", f"/threads/{thread}/messages", MESSAGE) for _ in range(3)]
    assert [answer.status_code for answer in passed] == [200, 200, 429]
    assert passed[0].headers["x-ratelimit-limit-tokens"] == "300"
    assert 180 < int(passed[0].headers["x-ratelimit-remaining-tokens"]) < 200
    assert passed[2].json()["error"]["type"] == "tokens"
    assert "x-should-retry" not in passed[2].headers
    assert ask("GET", f"/threads/{thread}").status_code == 200
    too_large = ask("POST", f"/threads/{thread}/messages", {**MESSAGE, "content": "x" * 1300})
    assert too_large.status_code == 429
    assert too_large.headers["x-should-retry"] == "false"
    assert "retry-after" not in too_large.headers


def test_a_key_has_so_many_runs_at_the_same_time(
    urls: tuple[str, str], client: httpx.Client, mongo_url: str, database: str
) -> None:
    key = make_key(mongo_url, database, "runs", limits={"concurrent_runs": 3})
    ask = [Asking(client, url, key) for url in urls]
    assistant = ask[0].made("/assistants", {"model": "gpt-4", "instructions": "Be kind."})
    threads = [ask[0].made("/threads", {}) for _ in range(10)]

    def start(n: int) -> httpx.Response:
        body = {"assistant_id": assistant, "additional_messages": [{"role": "user", "content": "Hi."}]}
        return ask[n % 2]("POST", f"/threads/{threads[n]}/runs", body)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(start, range(10)))
    started = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    assert len(started) == 3
    refused = [n for n, answer in enumerate(answers) if answer.status_code == 429]
    assert len(refused) == 7
    assert "on concurrent runs: Limit 3" in answers[refused[0]].json()["error"]["message"]
    assert answers[refused[0]].headers["retry-after"] == "1"
    assert ask[0]("GET", f"/threads/{threads[refused[0]]}/messages").json()["data"] == []

    asyncio.run(finish(mongo_url, database, started[0]))
    assert [start(n).status_code for n in refused[:2]] == [200, 429]


async def finish(mongo_url: str, database: str, run: str) -> None:
    worker = Worker(mongo_url, database)
    await worker.finish(run)
    worker.close()


def test_settings_hold_for_keys_that_have_no_limits_of_their_own(
    kafka_bootstrap: str, mongo_url: str, client: httpx.Client
) -> None:
    database = f"gateway_{uuid4().hex[:12]}"
    given: dict[str, Any] = {"key_pepper": SecretStr(PEPPER), "requests_per_minute": 1}
    free = make_key(mongo_url, database, "a", limits={"requests_per_minute": 0})
    with running_gateway(kafka_bootstrap, mongo_url, database, **given) as url:
        codes = [Asking(client, url, KEY)("GET", "/assistants").status_code for _ in range(2)]
        assert codes == [200, 429]
        answers = [Asking(client, url, free)("GET", "/assistants") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert "x-ratelimit-limit-requests" not in answers[0].headers


async def test_the_next_minute_is_counted_anew(db: Database) -> None:
    store = UsageStore(db)

    async def spend(now: float) -> tuple[bool, int]:
        window = await store.spend("kid", most_requests=2, most_tokens=0, tokens=0, now=now)
        return window.taken, window.requests

    assert [await spend(1000.0 + n) for n in range(3)] == [(True, 1), (True, 2), (False, 2)]
    assert await spend(1059.9) == (False, 2)
    assert await asyncio.gather(*(spend(1060.0) for _ in range(2))) is not None
    assert await spend(1061.0) == (False, 2)
