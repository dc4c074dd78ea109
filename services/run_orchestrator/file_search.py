"""``file_search`` (in v1: ``retrieval``): the function offered to the model, and what its calls ask for."""

import json
from collections.abc import Sequence
from typing import Any

from services.run_orchestrator.replies import FaultyReply, storable
from shared.events import SearchRequested
from shared.runs.model import Json, Ranking, Run, ToolCall
from shared.runs.rules import answers_by

FILE_SEARCH = "file_search"
MOST_QUERIES = 5
LONGEST_QUERY = 4096  # characters
MOST_RESULTS = 50
KEPT = ("file_id", "file_name", "score", "attributes")
NO_STORES = "There are no files to search."

SEARCH_TOOL: Json = {
    "type": "function",
    "function": {
        "name": FILE_SEARCH,
        "description": (
            "Searches the files that the user or the developer provided, by meaning and by words, and "
            "returns the best passages. Each has a marker such as 【4:0†report.pdf】; to cite it, write its "
            "marker, exactly as it is given, right behind the statement that it supports."
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": (
                        f"What to look for: 1 to {MOST_QUERIES} complete questions or phrases. "
                        "Split a question of several parts."
                    ),
                }
            },
            "required": ["queries"],
            "additionalProperties": False,
        },
    },
}


def queries_of(arguments: str) -> tuple[str, ...]:
    """Read a call's arguments; one ``query`` alone and a bare string do too, since small models write that.

    Raises:
        FaultyReply: they hold no query.
    """
    try:
        read = json.loads(arguments, strict=False) if arguments.strip() else {}
    except ValueError as error:
        raise FaultyReply(f"arguments of {FILE_SEARCH} are not JSON: {error}") from None
    if isinstance(read, dict):
        read = read.get("queries") or read.get("query")
    given: list[Any] = read if isinstance(read, list) else [read]
    queries = [storable(each).strip()[:LONGEST_QUERY] for each in given if isinstance(each, str)]
    kept = tuple(dict.fromkeys(query for query in queries if query))
    if not kept:
        raise FaultyReply(f"arguments of {FILE_SEARCH} hold no query")
    return kept[:MOST_QUERIES]


def offers_search(run: Run) -> bool:
    return _tool(run) is not None


def vector_stores(run: Run) -> tuple[str, ...]:
    """Those that the run may search: its assistant's, then its thread's; none without the tool."""
    if not offers_search(run):
        return ()
    return tuple(run.settings.tool_resources.get(FILE_SEARCH, {}).get("vector_store_ids") or ())


def token_budget(model: str) -> int:
    """Tokens of results that one search gives to the ``model``."""
    return 4_000 if _is_small(model) else 16_000


def new_call(run: Run, call_id: str, arguments: str, place: int) -> ToolCall:
    """The call as it is stored; answered at once if there is nothing to search.

    Raises:
        FaultyReply: the arguments hold no query.
    """
    return ToolCall(
        id=call_id,
        type="file_search",
        name=FILE_SEARCH,
        input=json.dumps(queries_of(arguments), ensure_ascii=False),
        output=None if vector_stores(run) else NO_STORES,
        ranking=ranking(run),
        place=place,
    )


def ranking(run: Run) -> Ranking:
    """How results are ranked, as the run's step shows it."""
    return Ranking.model_validate((_tool(run) or {}).get("ranking_options") or {})


def search_requested(run: Run, call: ToolCall, token: str) -> SearchRequested:
    tool = _tool(run) or {}
    model = run.settings.model
    return SearchRequested(
        call_id=call.id,
        project_id=run.project_id,
        run_id=run.id,
        thread_id=run.thread_id,
        token=token,
        deadline=answers_by(run),
        queries=tuple(json.loads(call.input)),
        vector_store_ids=vector_stores(run),
        max_num_results=tool.get("max_num_results") or (5 if _is_small(model) else 20),
        score_threshold=call.ranking.score_threshold,
        ranker=call.ranking.ranker,
        hybrid=(tool.get("ranking_options") or {}).get("hybrid_search"),
        token_budget=token_budget(model),
    )


def stored_results(results: Sequence[Json]) -> tuple[Json, ...]:
    """What the run keeps of a search's results: no text, nothing that is not as it should be."""
    kept = (each for each in results if isinstance(each.get("score"), int | float))
    named = (
        each for each in kept if all(isinstance(each.get(name), str) for name in ("file_id", "file_name"))
    )
    return tuple({name: each[name] for name in KEPT if name in each} for each in named)[:MOST_RESULTS]


def _tool(run: Run) -> Json | None:
    """The run's options of the tool; None if it is not on."""
    for tool in run.settings.tools:
        if tool["type"] == FILE_SEARCH:
            return tool.get(FILE_SEARCH) or {}
    return None


def _is_small(model: str) -> bool:
    return model.startswith("gpt-3.5")
