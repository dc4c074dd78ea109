"""Calls every method of the stores of retrieval, among enough documents for an index to matter."""

from services.tool_retrieval.claims import FileClaims
from services.tool_retrieval.index.index import Table
from services.tool_retrieval.tables import TableStore
from shared.files.parsed import PIECE_CHARS, ParsedFile, ParsedFiles
from shared.stores.database import Database
from shared.stores.search_results import Search, SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles, new_file
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
    await called.passages([("file-2", 1, 3)])
    await called.many(["file-2"])
    await called.delete("file-2")
    return called


async def of_file_claims(db: Database) -> Called:
    called = Called(FileClaims(db, "a", lease_s=10))
    files = VectorStoreFiles(db)
    await files.create_indexes()
    stored = [{"_id": f"file-{n}", "project_id": "p", "filename": "a.txt"} for n in range(MANY)]
    chunking = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
    await files.add(
        [
            new_file(file, f"claims_{n % 7}", seq=n, now=NOW, chunking=chunking, attributes={})
            for n, file in enumerate(stored)
        ]
    )
    names = [f"claims_{n % 7}:file-{n}" for n in range(6)]
    first, second, third, fourth, *_ = [await called.get(name) for name in names]
    claimed = await called.claim(first, NOW)
    await called.renew(claimed, NOW)
    await called.set_stage(claimed, "embedding", {})
    done = {"usage_bytes": 1, "chunks": 1, "tokens": 1, "embedder": "none", "stages": {}}
    assert await called.complete(claimed, done, NOW)
    assert await called.refresh(names[0], 1, NOW)
    assert await called.fail(await called.claim(second, NOW), "server_error", "why")
    await called.release(await called.claim(third, NOW), NOW, counts=True)
    await called.cancel(fourth)
    await called.settle(await called.get(names[1]))
    await called.due(NOW + 99)
    await called.of_store("claims_0")
    await called.attributes("claims_0")
    await called.many("p", names)
    await called.forget_store("claims_6")
    return called


async def of_tables(db: Database) -> Called:
    called = Called(TableStore(db))
    await called.create_indexes()
    tables = [Table(f"vs_{n}", "e", 8) for n in range(MANY)]
    for table in tables:
        await called.note(table, NOW)
    assert await called.any()
    await called.of_store("vs_1")
    for _ in range(20):
        await called.committed(tables[1], NOW)
    assert await called.claim_untidy(NOW, 60) == [tables[1]]
    await called.tidied(tables[1], NOW, 60)
    assert len(await called.claim_unaudited(NOW, 60)) == 20
    await called.audit_all(NOW)
    await called.forget(tables[1])
    return called
