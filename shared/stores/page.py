"""One page of a list, by the four parameters that every list of the API has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.stores.database import ASCENDING, DESCENDING, Collection, Document


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
    bounds: dict[str, int] = {}
    newer, older = ("$gt", "$lt") if query.order == "desc" else ("$lt", "$gt")
    for cursor, side in ((query.after, older), (query.before, newer)):
        if cursor is None:
            continue
        found = await collection.find_one({"_id": cursor, **owner}, {"seq": True})
        if found is None:
            return Page([], has_more=False)
        bounds[side] = found["seq"]

    backwards = query.before is not None and query.after is None
    descending = (query.order == "desc") != backwards
    filter_ = {**scope, "seq": bounds} if bounds else dict(scope)
    found_ = collection.find(filter_).sort("seq", DESCENDING if descending else ASCENDING)
    documents = await found_.limit(query.limit + 1).to_list(query.limit + 1)
    has_more = len(documents) > query.limit
    documents = documents[: query.limit]
    return Page(documents[::-1] if backwards else documents, has_more)
