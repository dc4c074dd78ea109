"""Pages of lists on a real store, against a model too simple to be wrong."""

import random
from typing import Literal

import pytest

from shared.stores.database import Database
from shared.stores.page import PageQuery, find_page

OWNER = {"project_id": "p"}
SCOPE = {**OWNER, "live": True}
MEMBERS = 23


async def fill(db: Database, chance: random.Random) -> tuple[list[str], list[str]]:
    """Return the ids of all members in order, and of those that are listed."""
    collection = db["things"]
    await collection.create_index([("project_id", 1), ("live", 1), ("seq", 1)])
    places = sorted(chance.sample(range(1000), k=MEMBERS))
    things = [
        {"_id": f"t{chance.random()}", **OWNER, "seq": place, "live": chance.random() < 0.7}
        for place in places
    ]
    await collection.insert_many(chance.sample(things, k=MEMBERS))
    await collection.insert_one({"_id": "foreign", "project_id": "q", "seq": 1, "live": True})
    return [str(thing["_id"]) for thing in things], [str(thing["_id"]) for thing in things if thing["live"]]


def expected(every: list[str], listed: list[str], query: PageQuery) -> tuple[list[str], bool]:
    """Walk the whole list; a member that is not listed any more is a cursor all the same."""
    walk = every if query.order == "asc" else every[::-1]
    first = walk.index(query.after) + 1 if query.after else 0
    end = walk.index(query.before) if query.before else len(walk)
    found = [member for member in walk[first:end] if member in listed]
    if query.before and not query.after:
        return found[-query.limit :], len(found) > query.limit
    return found[: query.limit], len(found) > query.limit


async def page(db: Database, query: PageQuery) -> tuple[list[str], bool]:
    found = await find_page(db["things"], SCOPE, query, owner=OWNER)
    return [document["_id"] for document in found.documents], found.has_more


async def test_every_page_is_what_walking_the_list_gives(db: Database) -> None:
    chance = random.Random(4)
    every, listed = await fill(db, chance)
    orders: list[Literal["asc", "desc"]] = ["asc", "desc"]
    for _ in range(150):
        query = PageQuery(
            limit=chance.choice([1, 2, 5, 20, 100]),
            order=chance.choice(orders),
            after=chance.choice([None, *every]),
            before=chance.choice([None, *every]),
        )
        assert await page(db, query) == expected(every, listed, query), query


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_paging_on_visits_each_member_once(db: Database, order: Literal["asc", "desc"]) -> None:
    _, listed = await fill(db, random.Random(5))
    seen: list[str] = []
    has_more = True
    while has_more:
        found, has_more = await page(db, PageQuery(limit=3, order=order, after=seen[-1] if seen else None))
        seen += found
    assert seen == (listed if order == "asc" else listed[::-1])


@pytest.mark.parametrize("cursor", ["t_never_was", "foreign", ""])
@pytest.mark.parametrize("side", ["after", "before"])
async def test_a_cursor_that_is_not_the_owner_s_gives_an_empty_page(
    db: Database, cursor: str, side: str
) -> None:
    await fill(db, random.Random(6))
    query = PageQuery(after=cursor) if side == "after" else PageQuery(before=cursor)
    assert await page(db, query) == ([], False)


async def test_a_list_without_members_is_an_empty_page(db: Database) -> None:
    assert await page(db, PageQuery()) == ([], False)
