"""What searches found, in a real store."""

import pytest

from shared.stores.database import Database
from shared.stores.search_results import KEEP_S, Search, SearchResultStore

NOW = 1_790_000_000.0


async def test_a_search_is_found_by_its_call_and_goes_with_its_thread(db: Database) -> None:
    store = SearchResultStore(db)
    result = {"file_id": "file-1", "score": 0.5, "text": "a"}
    await store.put(Search("call_1", "p", "run_1", "thread_1", ("q",)), [result], None, NOW)
    await store.put(Search("call_2", "p", "run_1", "thread_1", ("q",)), [], "why", NOW)
    found = await store.get_many(["call_1", "call_2", "call_3"])
    assert (found["call_1"]["results"], found["call_2"]["error"]) == ([result], "why")
    assert found.keys() == {"call_1", "call_2"}
    await store.forget_old(NOW + KEEP_S + 1)
    assert await store.get("call_1")
    await store.delete_thread("thread_1")
    assert await store.get("call_1") is None


async def test_a_clients_own_search_is_kept_for_a_week(db: Database) -> None:
    store = SearchResultStore(db)
    await store.put(Search("call_1", "p", "", "", ("q",)), [], None, NOW)
    with pytest.raises(ValueError, match="not one thread's"):
        await store.delete_thread("")
    await store.forget_old(NOW + KEEP_S - 1)
    assert await store.get("call_1")
    await store.forget_old(NOW + KEEP_S + 1)
    assert await store.get("call_1") is None
