"""Searches of clients, and what is told to the service that searches: over a real broker."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.wire.vector_store_objects import SearchResultsPage
from tests.integration.retrieval_stand_in import RESULT, Librarian, Searcher, searching, told
from tests.integration.running_gateway import V2, Api, api, running_gateway
from tests.integration.test_gateway_file_names import file
from tests.integration.test_gateway_vector_stores import new_store


@pytest.fixture(scope="module")
def searcher(url: str, kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[Searcher]:
    with searching(kafka_bootstrap, mongo_url, database) as searcher:
        yield searcher


@pytest.fixture
def librarian(mongo_url: str, database: str) -> Librarian:
    return Librarian(mongo_url, database)


def test_a_search_is_answered_with_what_was_found(v2: Api, searcher: Searcher) -> None:
    searcher.results = [RESULT]
    made = new_store(v2)
    filters = {
        "type": "and",
        "filters": [
            {"type": "gte", "key": "year", "value": 2020},
            {"type": "or", "filters": [{"type": "in", "key": "by", "value": ["a", "b"]}]},
        ],
    }
    page = v2.post(
        f"/vector_stores/{made}/search",
        {
            "query": ["What?", "Where?"],
            "max_num_results": 3,
            "filters": filters,
            "rewrite_query": True,
            "ranking_options": {"ranker": "none", "score_threshold": 0.5},
        },
    )
    SearchResultsPage.model_validate(page)
    assert page == {
        "object": "vector_store.search_results.page",
        "search_query": ["What?", "Where?"],
        "data": [
            {
                "file_id": "file-x",
                "filename": "a.txt",
                "score": 0.75,
                "attributes": {"year": 2023},
                "content": [{"type": "text", "text": "The chunk."}],
            }
        ],
        "has_more": False,
        "next_page": None,
    }
    asked = searcher.searches[-1]
    assert (asked.vector_store_ids, asked.queries) == ((made,), ("What?", "Where?"))
    assert (asked.max_num_results, asked.score_threshold, asked.ranker) == (3, 0.5, "none")
    assert (asked.filters, asked.rewrite_query, asked.run_id) == (filters, True, "")


def test_a_search_has_defaults_and_uses_the_store(v2: Api, searcher: Searcher, librarian: Librarian) -> None:
    searcher.results = []
    made = new_store(v2, expires_after={"anchor": "last_active_at", "days": 2})
    librarian.age(made, days=1, of_days=2)
    before = v2.get(f"/vector_stores/{made}")["last_active_at"]
    page = v2.post(f"/vector_stores/{made}/search", {"query": "What?"})
    assert (page["search_query"], page["data"]) == (["What?"], [])
    asked = searcher.searches[-1]
    assert (asked.max_num_results, asked.score_threshold, asked.ranker) == (10, 0.0, "auto")
    assert (asked.filters, asked.rewrite_query) == (None, False)
    after = v2.get(f"/vector_stores/{made}")
    assert after["last_active_at"] > before
    assert after["expires_at"] == after["last_active_at"] + 2 * 86_400


def test_a_bell_that_is_not_heard_is_no_harm(v2: Api, searcher: Searcher) -> None:
    searcher.results, searcher.rings = [RESULT], False
    try:
        page = v2.post(f"/vector_stores/{new_store(v2)}/search", {"query": "What?"})
    finally:
        searcher.rings = True
    assert len(page["data"]) == 1


def test_a_search_that_went_wrong_is_said_to_be_tried_again(v2: Api, searcher: Searcher) -> None:
    searcher.error = "The index cannot be read."
    try:
        error = v2.refused("POST", f"/vector_stores/{new_store(v2)}/search", {"query": "x"}, status=503)
    finally:
        searcher.error = None
    assert (error["message"], error["type"]) == ("The index cannot be read.", "server_error")


def test_many_searches_at_once_get_their_own_answers(url: str, v2: Api, searcher: Searcher) -> None:
    searcher.results = [RESULT]
    made = new_store(v2)

    async def ask(client: httpx.AsyncClient, n: int) -> list[str]:
        path = f"/v1/vector_stores/{made}/search"
        answer = await client.post(path, json={"query": f"{n}"}, headers=v2.headers)
        assert answer.status_code == 200, answer.text
        asked: list[str] = answer.json()["search_query"]
        return asked

    async def ask_all() -> list[list[str]]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            return await asyncio.gather(*(ask(client, n) for n in range(20)))

    assert asyncio.run(ask_all()) == [[f"{n}"] for n in range(20)]
    assert len({each.call_id for each in searcher.searches}) == len(searcher.searches)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "query", "missing_required_parameter"),
        ({"query": ""}, "query", "empty_string"),
        ({"query": []}, "query", "empty_array"),
        ({"query": 1}, "query", "invalid_type"),
        ({"query": ["a", 1]}, "query[1]", "invalid_type"),
        ({"query": "x", "max_num_results": 51}, "max_num_results", "integer_above_max_value"),
        ({"query": "x", "max_num_results": 0}, "max_num_results", "integer_below_min_value"),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker", "invalid_value"),
        (
            {"query": "x", "ranking_options": {"score_threshold": 1.5}},
            "ranking_options.score_threshold",
            "decimal_above_max_value",
        ),
        ({"query": "x", "filters": {"type": "like", "key": "a"}}, "filters.type", "invalid_value"),
        ({"query": "x", "filters": {"type": "eq", "key": "a", "value": []}}, "filters.value", "invalid_type"),
        ({"query": "x", "filters": {"type": "in", "key": "a", "value": 1}}, "filters.value", "invalid_type"),
        (
            {"query": "x", "filters": {"type": "or", "filters": [{"type": "eq", "value": 1}]}},
            "filters.filters[0].key",
            "missing_required_parameter",
        ),
    ],
)
def test_a_search_that_says_what_it_may_not_is_refused(v2: Api, body: Any, param: str, code: str) -> None:
    error = v2.refused("POST", f"/vector_stores/{new_store(v2)}/search", body)
    assert (error["param"], error["code"]) == (param, code)


async def test_whoever_takes_files_in_is_told(v2: Api, searcher: Searcher) -> None:
    one, two, three = file(v2), file(v2), file(v2)
    made = new_store(v2, one)
    await told(searcher, made, ("added", one))
    v2.post(f"/vector_stores/{made}/file_batches", {"file_ids": [one, two, three]})
    await told(searcher, made, ("added", two), ("added", three))
    assert searcher.commands(made).count(("added", one)) == 1, "it is there already"
    v2.delete(f"/vector_stores/{made}/files/{two}")
    v2.delete(f"/files/{three}")
    await told(searcher, made, ("removed", two), ("removed", three))
    v2.delete(f"/vector_stores/{made}")
    await told(searcher, made, ("dropped", ""))


def test_an_answer_is_not_waited_for_for_ever(kafka_bootstrap: str, mongo_url: str) -> None:
    alone = {"topic_prefix": f"t{uuid4().hex[:8]}.", "search_patience_s": 1.0}
    with running_gateway(kafka_bootstrap, mongo_url, f"gateway_{uuid4().hex[:12]}", **alone) as url:
        client = api(url, V2)
        path = f"/vector_stores/{new_store(client)}/search"
        error = client.refused("POST", path, {"query": "x"}, status=503)
        assert error["message"] == "The search was not answered in time. Please try again."
        client.client.close()
