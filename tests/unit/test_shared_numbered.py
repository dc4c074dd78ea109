"""The end of a thread, and its pages, found by numbers: in a real store, against what must come out."""

import random
from typing import Literal

import pytest

from shared.stores.database import Database
from shared.stores.numbered import Numbered
from shared.stores.page import PageQuery, find_numbered_page
from tests.unit.test_shared_pages import expected

LENGTHS = [0, 1, 2, 3, 4, 5, 31, 32, 33, 34, 63, 64, 65, 96, 97, 127, 300, 1000]


async def fill(db: Database, thread_id: str, first: int, last: int) -> None:
    numbers = range(first, last + 1)
    if numbers:
        await db["things"].insert_many(
            [{"_id": f"{thread_id}/{n}", "thread_id": thread_id, "seq": n, "live": True} for n in numbers]
        )


async def opened(db: Database, near: int = 4) -> Numbered:
    await db["things"].create_index([("thread_id", 1), ("seq", 1)], unique=True)
    return Numbered(db["things"], near=near)


@pytest.mark.parametrize("near", [2, 32])
async def test_the_end_is_found_whatever_the_length(db: Database, near: int) -> None:
    numbered = await opened(db, near)
    for length in LENGTHS:
        await fill(db, f"t{length}", 1, length)
        assert await numbered.last(f"t{length}") == length
        assert await numbered.last(f"t{length}") == length  # and from where it was


async def test_what_others_added_meanwhile_is_found(db: Database) -> None:
    numbered = await opened(db)
    last = 0
    for more in (1, 2, 3, 4, 5, 9, 40):
        await fill(db, "t", last + 1, last + more)
        last += more
        assert await numbered.last("t") == last


async def test_a_thread_that_is_gone_has_no_end(db: Database) -> None:
    numbered = await opened(db)
    await fill(db, "t", 1, 50)
    assert await numbered.last("t") == 50
    await db["things"].delete_many({"thread_id": "t"})
    assert await numbered.last("t") == 0
    await fill(db, "t", 1, 1)
    assert await numbered.last("t") == 1


async def test_an_end_that_the_store_lost_is_not_believed(db: Database) -> None:
    """A store that went back to an earlier state must not get a gap."""
    numbered = await opened(db)
    await fill(db, "t", 1, 20)
    numbered.note("t", 30)
    assert await numbered.last("t") == 20


async def test_more_threads_than_are_remembered(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stores.numbered.MOST_KNOWN", 2)
    numbered = await opened(db)
    for name in "abc":
        await fill(db, name, 1, 9)
    assert [await numbered.last(name) for name in "abcab"] == [9] * 5


async def test_every_page_is_what_walking_the_thread_gives(db: Database) -> None:
    chance = random.Random(7)
    numbered = await opened(db)
    await fill(db, "t", 1, 60)
    every = [f"t/{n}" for n in range(1, 61)]
    gone = [*chance.sample(every, k=15), *every[20:45]]  # also a gap longer than a page
    await db["things"].update_many({"_id": {"$in": gone}}, {"$set": {"live": False}})
    listed = [name for name in every if name not in gone]
    orders: list[Literal["asc", "desc"]] = ["asc", "desc"]
    for _ in range(200):
        query = PageQuery(
            limit=chance.choice([1, 2, 5, 20, 100]),
            order=chance.choice(orders),
            after=chance.choice([None, None, *every]),
            before=chance.choice([None, None, *every]),
        )
        found = await find_numbered_page(db["things"], numbered, "t", query)
        ids = [document["_id"] for document in found.documents]
        assert (ids, found.has_more) == expected(every, listed, query), query
