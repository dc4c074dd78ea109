"""Every query that a client sends, and how the store says that it would look for the documents."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from shared.stores.database import Database, Document

HARMLESS = {
    "createIndexes",
    "insert",
    "explain",
    "listIndexes",
    "hello",
    "ismaster",
    "ping",
    "endSessions",
    "getMore",
    "killCursors",
}


@dataclass(frozen=True)
class Query:
    """One filter, as a ``find`` would have it: an update or a delete finds its documents likewise."""

    command: str
    collection: str
    filter: Document
    sort: Mapping[str, int]

    @property
    def shape(self) -> str:
        """Alike for queries that differ in values only."""
        return f"{self.command} {self.collection} {_shape(self.filter)} {dict(self.sort)}"

    @property
    def by_id(self) -> bool:
        return "_id" in self.filter and not (
            isinstance(self.filter["_id"], dict) and set(self.filter["_id"]) - {"$in"}
        )


class QueryLog(CommandListener):
    def __init__(self) -> None:
        self.queries: list[Query] = []
        self.unknown: set[str] = set()  # commands that this log cannot judge

    def started(self, event: CommandStartedEvent) -> None:
        name, command = event.command_name, event.command
        if name == "find":
            self._add(name, command["find"], command.get("filter", {}), command.get("sort", {}))
        elif name == "aggregate":
            self._add(name, command["aggregate"], command["pipeline"][0]["$match"], {})
        elif name in ("update", "delete"):
            for change in command["updates" if name == "update" else "deletes"]:
                self._add(name, command[name], change["q"], {})
        elif name not in HARMLESS:
            self.unknown.add(name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def _add(self, name: str, collection: str, filter_: Document, sort: Mapping[str, int]) -> None:
        self.queries.append(Query(name, collection, dict(filter_), dict(sort)))


@contextmanager
def recording(url: str, name: str) -> Iterator[tuple[Database, QueryLog]]:
    log = QueryLog()
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(url, event_listeners=[log])
    try:
        yield client[name], log
    finally:
        client.close()


async def index_of(db: Database, query: Query) -> tuple[str, ...] | None:
    """Return the fields of the index that the store would use; None if it would read everything.

    The embedded store's ``explain`` says so too of a filter with a field more than its index has,
    though it does use the index then (7 ms among 10,000 documents, where a scan takes 600):
    it is asked again without the fields that no index goes on with.
    """
    if index := await _explained(db, query.collection, query.filter, query.sort):
        return index
    found: list[tuple[int, tuple[str, ...]]] = []
    for known in (await db[query.collection].index_information()).values():
        index = tuple(name for name, _ in known["key"])
        begun = list(takewhile(query.filter.__contains__, index))
        narrowed = {name: query.filter[name] for name in begun}
        if narrowed and await _explained(db, query.collection, narrowed, query.sort):
            found.append((len(begun), index))
    return max(found, default=(0, None))[1]


async def _explained(
    db: Database, collection: str, filter_: Document, sort: Mapping[str, int]
) -> tuple[str, ...] | None:
    find = {"find": collection, "filter": filter_, "sort": dict(sort), "limit": 10}
    plan = await db.command({"explain": find, "verbosity": "queryPlanner"})
    stage = plan["queryPlanner"]["winningPlan"]
    while "inputStage" in stage:
        stage = stage["inputStage"]
    return tuple(stage["keyPattern"]) if stage["stage"] == "IXSCAN" else None


class Called:
    """Stands in front of a store and notes which of its methods were called."""

    def __init__(self, store: object) -> None:
        self._store = store
        self.missing = {
            name
            for name, _ in inspect.getmembers(type(store), inspect.iscoroutinefunction)
            if not name.startswith("_")
        }

    def __getattr__(self, name: str) -> Any:
        self.missing.discard(name)
        return getattr(self._store, name)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(member) for key, member in value.items()}
    return "?"
