"""What a model's call of ``file_search`` asks for, and what it is asked with."""

import json
from typing import Any

import pytest

from services.run_orchestrator.file_search import (
    MOST_QUERIES,
    NO_STORES,
    new_call,
    queries_of,
    search_requested,
    stored_results,
    token_budget,
    vector_stores,
)
from services.run_orchestrator.replies import FaultyReply
from shared.runs.model import Json, Run
from tests.unit.run_samples import LLM, NOW

RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.5, "hybrid_search": None}


def run(model: str = "gpt-4o", stores: tuple[str, ...] = ("vs_a", "vs_t"), **options: Any) -> Run:
    tool: Json = {"type": "file_search", "file_search": {"ranking_options": RANKING, **options}}
    resources = {"file_search": {"vector_store_ids": list(stores)}}
    return LLM.evolve(settings=LLM.settings.evolve(model=model, tools=(tool,), tool_resources=resources))


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"queries": ["a", " b "]}', ("a", "b")),
        ('{"queries": ["a", "a", "", 3]}', ("a",)),
        ('{"queries": "a"}', ("a",)),
        ('{"query": "a"}', ("a",)),
        ('["a"]', ("a",)),
        ('"a"', ("a",)),
        ('{"queries": ["\\ud83d"]}', ("\ufffd",)),
        (json.dumps({"queries": [f"q{n}" for n in range(9)]}), tuple(f"q{n}" for n in range(MOST_QUERIES))),
    ],
)
def test_queries_are_read_from_the_arguments(arguments: str, queries: tuple[str, ...]) -> None:
    assert queries_of(arguments) == queries


@pytest.mark.parametrize(
    "arguments", ["", "{}", '{"queries": []}', '{"queries": [" "]}', '{"queries', "3", "null"]
)
def test_arguments_without_a_query_are_faulty(arguments: str) -> None:
    with pytest.raises(FaultyReply, match="file_search"):
        queries_of(arguments)


@pytest.mark.parametrize(
    ("model", "options", "most", "budget"),
    [
        ("gpt-4o", {}, 20, 16_000),
        ("gpt-3.5-turbo-0125", {}, 5, 4_000),
        ("gpt-3.5-turbo", {"max_num_results": 9}, 9, 4_000),
        ("llama", {"max_num_results": 50}, 50, 16_000),
    ],
)
def test_a_request_says_what_the_run_s_tool_says(model: str, options: Json, most: int, budget: int) -> None:
    made = run(model, **options)
    call = new_call(made, "call_1", '{"queries": ["a", "b"]}', 7)
    assert (call.type, call.input, call.output, call.place) == ("file_search", '["a", "b"]', None, 7)
    request = search_requested(made, call, "token")
    assert request.queries == ("a", "b")
    assert request.vector_store_ids == ("vs_a", "vs_t")
    assert (request.max_num_results, request.token_budget) == (most, budget)
    assert (request.score_threshold, request.ranker, request.token) == (0.5, "default_2024_08_21", "token")
    assert (request.run_id, request.thread_id) == (LLM.id, LLM.thread_id)
    assert NOW < request.deadline < LLM.expires_at  # its caller gives it up sooner than the run
    assert token_budget(model) == budget


def test_a_call_without_anything_to_search_is_answered_at_once() -> None:
    assert new_call(run(stores=()), "call_1", '{"queries": ["a"]}', 1).output == NO_STORES


def test_stores_are_searched_by_runs_with_the_tool_only() -> None:
    other = run().evolve(settings=run().settings.evolve(tools=({"type": "code_interpreter"},)))
    assert vector_stores(other) == ()


def test_of_results_only_what_is_right_is_kept() -> None:
    good: Json = {"file_id": "file-1", "file_name": "a", "score": 0.5}
    extra = good | {"text": "secret", "attributes": {"year": 2020}}
    wrong: list[Json] = [
        {},
        good | {"score": "0.5"},
        good | {"file_name": None},
        {"file_id": "x", "score": 1},
    ]
    assert stored_results([good, extra, *wrong]) == (good, good | {"attributes": {"year": 2020}})
    assert len(stored_results([good] * 99)) == 50
