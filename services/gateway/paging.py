"""Lists: the four query parameters, the answer's frame, and pages of what is embedded in a run."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from fastapi import Depends, Query

from shared.runs.model import Json, Run, Step
from shared.stores.page import PageQuery


def page_query(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    before: str | None = None,
) -> PageQuery:
    return PageQuery(limit, order, after or None, before or None)


Paging: TypeAlias = Annotated[PageQuery, Depends(page_query)]


def list_view(objects: Sequence[Json], *, has_more: bool) -> Json:
    return {
        "object": "list",
        "data": list(objects),
        "first_id": objects[0]["id"] if objects else None,
        "last_id": objects[-1]["id"] if objects else None,
        "has_more": has_more,
    }


def page_of(members: Sequence[Json], query: PageQuery) -> tuple[list[Json], bool]:
    """Return of ``members``, given in ascending order, those that ``query`` asks for; and are there more."""
    ids = [member["id"] for member in members]
    if any(cursor not in ids for cursor in (query.after, query.before) if cursor is not None):
        return [], False
    listed = list(members if query.order == "asc" else reversed(members))
    ids = [member["id"] for member in listed]
    first = ids.index(query.after) + 1 if query.after is not None else 0
    listed = listed[first : None if query.before is None else ids.index(query.before)]
    has_more = len(listed) > query.limit
    if query.before is not None and query.after is None:
        return listed[-query.limit :], has_more
    return listed[: query.limit], has_more


def page_of_steps(run: Run, query: PageQuery) -> tuple[list[Step], bool]:
    """Return the steps that ``query`` asks for, and whether there are more.

    As ``find_page`` does for collections; superseded steps are cursors, but not listed.
    """
    places = {step.id: place for place, step in enumerate(run.steps)}
    listed = [(place, step) for place, step in enumerate(run.steps) if not step.superseded]
    if query.order == "desc":
        listed.reverse()
    sign = -1 if query.order == "desc" else 1
    for cursor, side in ((query.after, sign), (query.before, -sign)):
        if cursor is None:
            continue
        if cursor not in places:
            return [], False
        listed = [(place, step) for place, step in listed if (place - places[cursor]) * side > 0]
    steps = [step for _, step in listed]
    has_more = len(steps) > query.limit
    if query.before is not None and query.after is None:
        return steps[-query.limit :], has_more
    return steps[: query.limit], has_more
