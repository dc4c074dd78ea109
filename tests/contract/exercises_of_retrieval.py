"""Calls every method of the stores of retrieval, among enough documents for an index to matter."""

from shared.files.parsed import PIECE_CHARS, ParsedFile, ParsedFiles
from shared.stores.database import Database
from shared.stores.search_results import Search, SearchResultStore
from tests.contract.query_log import Called
from tests.unit.run_samples import NOW

MANY = 300


async def of_searches(db: Database) -> Called:
    called = Called(SearchResultStore(db))
    await called.create_indexes()
    for n in range(MANY):
        thread = f"thread_{n % 7}" if n % 2 else ""
        await called.put(Search(f"call_{n}", "p", "", thread, ("query",)), [], None, NOW)
    assert await called.get("call_1")
    await called.get_many(["call_1", "call_2"])
    await called.delete_thread("thread_1")
    await called.forget_old(NOW)
    return called


async def of_parsed_files(db: Database) -> Called:
    called = Called(ParsedFiles(db))
    await called.create_indexes()
    text = "x" * (PIECE_CHARS + 1)
    for n in range(MANY):
        await called.put(ParsedFile(f"file-{n}", "p", 1, 1), "x")
    await called.put(ParsedFile("file-2", "p", len(text), 1, (0, 5)), text)
    assert await called.get("file-2")
    assert await called.read("file-2") == text
    await called.passage("file-2", 1, 3)
    await called.delete("file-2")
    return called
