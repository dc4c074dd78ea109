"""The text of what a search found. It is read for those who ask for it with ``include[]``."""

import logging
from collections.abc import Iterable, Sequence

from shared.runs.model import Json
from shared.stores.database import PyMongoError
from shared.stores.search_results import SearchResultStore

log = logging.getLogger(__name__)


class SearchContent:
    """Puts the text into steps and deltas of steps. For one answer, or one stream."""

    def __init__(self, store: SearchResultStore) -> None:
        self._store = store
        self._ids: dict[tuple[str, int], str] = {}  # (step, index) -> call: only the first delta tells

    async def added(self, objects: Sequence[Json]) -> list[Json]:
        """Return ``objects``, with the text where it is still there; others than steps as they are.

        Raises:
            PyMongoError: the store does not answer.
        """
        ids = [call_id for obj in objects for call_id, _ in self._searches(obj)]
        found = await self._store.get_many(ids) if ids else {}
        texts = {call_id: search["results"] for call_id, search in found.items()}
        return [self._with(obj, texts) for obj in objects] if texts else list(objects)

    async def streamed(self, obj: Json) -> Json:
        """As ``added``, but a stream goes on without the text if the store is away."""
        try:
            return (await self.added([obj]))[0]
        except PyMongoError as error:
            log.warning("a stream goes on without the text of results", exc_info=error)
            return obj

    def _searches(self, obj: Json) -> Iterable[tuple[str, Json]]:
        """The calls that show results, each with its id."""
        for call in (_details(obj) or {}).get("tool_calls") or ():
            if call["type"] == "file_search":
                call_id = call.get("id") or self._ids.get((obj["id"], call["index"]), "")
                if "index" in call:
                    self._ids[obj["id"], call["index"]] = call_id
                if call["file_search"].get("results"):
                    yield call_id, call

    def _with(self, obj: Json, texts: dict[str, list[Json]]) -> Json:
        changed = {id(call): _call(call, texts.get(call_id, [])) for call_id, call in self._searches(obj)}
        details = _details(obj)
        if not changed or details is None:
            return obj
        calls = [changed.get(id(call), call) for call in details["tool_calls"]]
        more = {"step_details": details | {"tool_calls": calls}}
        return obj | ({"delta": obj["delta"] | more} if "delta" in obj else more)


def _details(obj: Json) -> Json | None:
    told: Json = obj.get("delta") or obj
    return told.get("step_details")


def _call(call: Json, found: list[Json]) -> Json:
    results = [_result(result, place, found) for place, result in enumerate(call["file_search"]["results"])]
    return call | {"file_search": call["file_search"] | {"results": results}}


def _result(result: Json, place: int, found: list[Json]) -> Json:
    place = result.get("index", place)
    if place >= len(found) or found[place]["file_id"] != result["file_id"]:
        return result
    indexed = {"index": 0} if "index" in result else {}
    return result | {"content": [{**indexed, "type": "text", "text": found[place]["text"]}]}
