"""One page of a list, by the four parameters that every list of the API has."""

import math
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from shared.stores.database import ASCENDING, DESCENDING, Collection, Document
from shared.stores.numbered import Numbered


@dataclass(frozen=True)
class PageQuery:
    """``after`` and ``before`` are object ids, exclusive; ``limit`` is 1 to 100."""

    limit: int = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True)
class Page:
    documents: list[Document]
    has_more: bool


async def find_page(
    collection: Collection, scope: Mapping[str, Any], query: PageQuery, *, owner: Mapping[str, Any]
) -> Page:
    """Return the members of ``scope`` that ``query`` asks for, ordered by their ``seq``.

    ``scope`` are equality filters, all in one index that ends with ``seq``; one that is not
    is compared document by document. A cursor is
    looked up among what ``owner`` holds, also when it was deleted since: paging goes on
    where it stood. A cursor that never existed gives an empty page.
    With ``before``, the page holds the members nearest to it, still in the chosen order.
    """
    bounds = await cursors(collection, query, owner)
    if bounds is None:
        return Page([], has_more=False)
    backwards, descending = _direction(query)
    filter_ = {**scope, "seq": bounds} if bounds else dict(scope)
    found = collection.find(filter_).sort("seq", DESCENDING if descending else ASCENDING)
    documents = await found.limit(query.limit + 1).to_list(query.limit + 1)
    return _page(documents, query, backwards)


async def find_numbered_page(
    collection: Collection, numbered: Numbered, thread_id: str, query: PageQuery
) -> Page:
    """Return the same for what is numbered within its thread. What has ``live: false`` is not shown."""
    bounds = await cursors(collection, query, {"thread_id": thread_id})
    if bounds is None:
        return Page([], has_more=False)
    backwards, descending = _direction(query)
    members = numbered.walk(
        thread_id,
        low=bounds.get("$gt", 0) + 1,
        high=bounds["$lt"] - 1 if "$lt" in bounds else None,
        descending=descending,
        width=query.limit + 1,
    )
    documents: list[Document] = []
    async with aclosing(members):
        async for member in members:
            if member.get("live", True):
                documents.append(member)
            if len(documents) > query.limit:
                break
    return _page(documents, query, backwards)


def page_of(members: Sequence[Document], query: PageQuery, bounds: Mapping[str, int]) -> Page:
    """Return the same of a few ``members`` that were all read, between ``bounds`` (see ``cursors``)."""
    backwards, descending = _direction(query)
    inside = [
        member
        for member in sorted(members, key=lambda member: int(member["seq"]), reverse=descending)
        if bounds.get("$gt", -1) < member["seq"] < bounds.get("$lt", math.inf)
    ]
    return _page(inside[: query.limit + 1], query, backwards)


async def cursors(
    collection: Collection, query: PageQuery, owner: Mapping[str, Any]
) -> dict[str, int] | None:
    """Return the numbers that the page lies between, under ``$gt`` and ``$lt``; None for a foreign cursor."""
    bounds: dict[str, int] = {}
    newer, older = ("$gt", "$lt") if query.order == "desc" else ("$lt", "$gt")
    for cursor, side in ((query.after, older), (query.before, newer)):
        if cursor is None:
            continue
        found = await collection.find_one({"_id": cursor}, {"seq": True, **dict.fromkeys(owner, True)})
        if found is None or any(found.get(name) != value for name, value in owner.items()):
            return None
        bounds[side] = found["seq"]
    return bounds


def _direction(query: PageQuery) -> tuple[bool, bool]:
    """Whether the page is read from its far end, and whether it is read by falling numbers."""
    backwards = query.before is not None and query.after is None
    return backwards, (query.order == "desc") != backwards


def _page(found: list[Document], query: PageQuery, backwards: bool) -> Page:
    """``found`` is one more than the page may hold, if there is more."""
    documents = found[: query.limit]
    return Page(documents[::-1] if backwards else documents, has_more=len(found) > query.limit)
