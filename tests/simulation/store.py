"""MongoDB as this code uses it: documents in memory, each written at once or not at all.

A document is never changed, only replaced: what was read stays as it was read.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from pymongo.errors import AutoReconnect

from shared.stores.database import Database, Document, DuplicateKeyError
from tests.simulation.process import Process

Filter = Mapping[str, Any]
Watch = Callable[[str, Document | None, Document | None, str], None]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$in": lambda have, want: have in want,
    "$gt": lambda have, want: have is not None and have > want,
    "$gte": lambda have, want: have is not None and have >= want,
    "$lt": lambda have, want: have is not None and have < want,
    "$lte": lambda have, want: have is not None and have <= want,
}


class Table:
    """One collection. ``watch`` sees every write: (table, before, after, writer)."""

    def __init__(self, name: str, watch: Watch) -> None:
        self.name = name
        self.documents: dict[str, Document] = {}
        self.unique: dict[str, tuple[tuple[str, ...], Filter]] = {}
        self._watch = watch

    def put(self, before: Document | None, after: Document, writer: str) -> None:
        for keys, condition in self.unique.values():
            if not matches(after, condition):
                continue
            place = {key: _value(after, key) for key in keys}
            for other in self.documents.values():
                if other["_id"] != after["_id"] and matches(other, condition) and matches(other, place):
                    raise DuplicateKeyError(f"{self.name}: {place}")
        self.documents[after["_id"]] = after
        self._watch(self.name, before, after, writer)

    def remove(self, document: Document, writer: str) -> None:
        del self.documents[document["_id"]]
        self._watch(self.name, document, None, writer)

    def first(self, filter_: Filter) -> Document | None:
        if isinstance(id_ := filter_.get("_id"), str):
            document = self.documents.get(id_)
            return document if document and matches(document, filter_) else None
        return next((document for document in self.documents.values() if matches(document, filter_)), None)

    def all(self, filter_: Filter) -> list[Document]:
        return [document for document in self.documents.values() if matches(document, filter_)]


class Store:
    def __init__(self, watch: Watch) -> None:
        self._tables: dict[str, Table] = {}
        self._watch = watch

    def table(self, name: str) -> Table:
        if name not in self._tables:
            self._tables[name] = Table(name, self._watch)
        return self._tables[name]

    def seen_by(self, process: Process) -> Database:
        """The store as ``process`` reaches it: late, sometimes not at all, sometimes without an answer."""
        tables: dict[str, Collection] = {}

        class Seen(SimpleNamespace):
            def __getitem__(_, name: str) -> Collection:
                return tables.setdefault(name, Collection(store.table(name), process))

        store = self
        return cast(Database, Seen())


class Collection:
    """The calls of the driver that the product makes, and no others."""

    def __init__(self, table: Table, process: Process) -> None:
        self._table = table
        self._process = process

    async def _there(self, what: str) -> None:
        await self._process.reach(f"{what} {self._table.name}")
        if self._process.world.strikes("store away", self._process):
            raise AutoReconnect("the request was lost")

    async def _back(self, what: str) -> None:
        await self._process.reach(f"answer to {what} {self._table.name}")
        if self._process.world.strikes("store answer lost", self._process):
            raise AutoReconnect("the answer was lost")

    async def create_index(
        self,
        keys: str | Sequence[tuple[str, int]],
        *,
        unique: bool = False,
        partialFilterExpression: Filter | None = None,  # the driver's own name
        name: str = "",
    ) -> None:
        if unique:
            fields = (keys,) if isinstance(keys, str) else tuple(key for key, _ in keys)
            self._table.unique[name or ",".join(fields)] = (fields, partialFilterExpression or {})

    async def find_one(
        self,
        filter_: Filter,
        projection: Filter | None = None,
        *,
        sort: Sequence[tuple[str, int]] | None = None,
    ) -> Document | None:
        await self._there("find in")
        if sort is None:
            found = self._table.first(filter_)
        else:
            found = next(iter(_sorted(self._table.all(filter_), sort)), None)
        await self._back("find in")
        return _shown(found, projection) if found else None

    def find(self, filter_: Filter, projection: Filter | None = None) -> "Cursor":
        async def read() -> list[Document]:
            await self._there("find in")
            found = self._table.all(filter_)
            await self._back("find in")
            return [_shown(document, projection) for document in found]

        return Cursor(read)

    async def insert_one(self, document: Document) -> None:
        await self._there("insert into")
        if document["_id"] in self._table.documents:
            raise DuplicateKeyError(f"{self._table.name}: {document['_id']}")
        self._table.put(None, dict(document), self._process.name)
        await self._back("insert into")

    async def update_one(self, filter_: Filter, update: Filter, *, upsert: bool = False) -> Any:
        await self._there("update")
        before = self._table.first(filter_)
        if before is not None:
            self._table.put(before, _updated(before, update), self._process.name)
        elif upsert:
            new = {key: value for key, value in filter_.items() if not isinstance(value, dict)}
            self._table.put(None, _updated(new, update), self._process.name)
        await self._back("update")
        return SimpleNamespace(matched_count=int(before is not None))

    async def update_many(self, filter_: Filter, update: Filter) -> Any:
        await self._there("update")
        found = self._table.all(filter_)
        for before in found:
            self._table.put(before, _updated(before, update), self._process.name)
        await self._back("update")
        return SimpleNamespace(matched_count=len(found), modified_count=len(found))

    async def delete_one(self, filter_: Filter) -> None:
        await self._there("delete from")
        if (found := self._table.first(filter_)) is not None:
            self._table.remove(found, self._process.name)
        await self._back("delete from")


class Cursor:
    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._order: Sequence[tuple[str, int]] = ()
        self._limit: int | None = None

    def sort(self, key: str, direction: int = 1) -> "Cursor":
        self._order = [(key, direction)]
        return self

    def limit(self, most: int) -> "Cursor":
        self._limit = most
        return self

    def batch_size(self, _: int) -> "Cursor":
        return self

    async def __aiter__(self) -> AsyncIterator[Document]:
        for document in await self.to_list(None):
            yield document

    async def to_list(self, most: int | None) -> list[Document]:
        found = _sorted(await self._read(), self._order)
        return found[: self._limit if most is None else most]


def matches(document: Filter, filter_: Filter) -> bool:
    for key, want in filter_.items():
        have = _value(document, key)
        if isinstance(want, dict):
            if not all(COMPARE[operator](have, bound) for operator, bound in want.items()):
                return False
        elif have != want:
            return False
    return True


def _value(document: Filter, path: str) -> Any:
    if "." not in path:
        return document.get(path)
    outer, _, inner = path.partition(".")
    found = document.get(outer)
    return _value(found, inner) if isinstance(found, dict) else None


def _updated(before: Filter, update: Filter) -> Document:
    after = dict(before)
    for operator, fields in update.items():
        for key, value in fields.items():
            assert "." not in key, "nobody sets a part of a field"
            if operator == "$set":
                after[key] = value
            elif operator == "$unset":
                after.pop(key, None)
            elif operator == "$inc":
                after[key] = after.get(key, 0) + value
            elif operator == "$push":
                new = value["$each"] if isinstance(value, dict) and "$each" in value else [value]
                after[key] = [*after.get(key, ()), *new]
            else:
                raise NotImplementedError(operator)
    return after


def _sorted(documents: list[Document], order: Sequence[tuple[str, int]]) -> list[Document]:
    for key, direction in reversed(order):
        documents = sorted(documents, key=lambda document: document[key], reverse=direction < 0)
    return documents


def _shown(document: Document, projection: Filter | None) -> Document:
    if projection is None:
        return dict(document)
    return {key: document[key] for key in ("_id", *projection) if key in document}
