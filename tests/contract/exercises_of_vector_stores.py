"""Every method of the stores of vector stores and their files, called for ``test_queries.py``."""

from services.gateway.stores.file_batches import FileBatchStore
from shared.runs.model import Json
from shared.stores.database import Database, Document
from shared.stores.page import PageQuery
from shared.stores.vector_store_files import VectorStoreFiles, new_file
from shared.stores.vector_stores import VectorStores
from tests.contract.query_log import Called

MANY = 300
NOW = 1_000_000.0
FIELDS: Json = {"name": None, "description": None, "metadata": {}, "expires_after": None, "helper": False}
PAGES = [
    PageQuery(limit=2, order=order, after=after, before=before)
    for order in ("asc", "desc")
    for after in (None, "2")
    for before in (None, "4")
]


async def of_vector_stores(db: Database) -> Called:
    called = Called(VectorStores(db))
    await called.create_indexes()
    weekly = {"anchor": "last_active_at", "days": 7}
    for n in range(MANY):
        await called.add(f"{n}", "p", FIELDS | {"expires_after": weekly if n % 2 else None}, NOW)
    for query in PAGES:
        await called.page("p", query)
    await called.get("p", "2")
    await called.get_many("p", ["2", "4"])
    await called.searchable("p", ["2", "4"], NOW)
    await called.change("p", "2", lambda before: {"name": "x"})
    await called.used("p", ["3"], NOW + 9)
    assert await called.make_room("4", 3, most=3)
    await called.set_most_files(await called.get("p", "4"), 2)
    await called.delete("p", "2", NOW)
    assert await called.claim_due(NOW + 8 * 86_400)
    assert await called.dropped("2", NOW)
    return called


async def of_file_batches(db: Database) -> Called:
    called = Called(FileBatchStore(db))
    await called.create_indexes()
    for n in range(MANY):
        await called.add(f"b{n}", f"vs_{n % 50}", NOW)
    assert await called.get("vs_2", "b2")
    await called.cancel("b2")
    await called.forget_store("vs_2")
    return called


async def of_vector_store_files(db: Database) -> Called:
    called = Called(VectorStoreFiles(db))
    await called.create_indexes()

    def new(n: int, batch_id: str | None = None) -> Document:
        file = {"_id": f"{n}", "project_id": "p", "filename": "a.txt"}
        return new_file(file, "vs", seq=n, now=NOW, chunking={}, attributes={}, batch_id=batch_id)

    assert len(await called.add([new(n, f"b{n % 50}") for n in range(MANY)])) == MANY
    for query in PAGES:
        for status in (None, "in_progress"):
            await called.page("vs", query, status=status)
            await called.page("vs", query, batch_id="b2", status=status)
    await called.get("vs", "2")
    assert await called.some("vs", 2)
    assert await called.has("vs", "in_progress")
    await called.totals("vs")
    await called.totals_of_batch("b2")
    await called.set_attributes("vs", "2", {"a": 1})
    await called.cancel_batch("b2", NOW)
    assert await called.remove("vs", "3", NOW)
    assert await called.remove_everywhere("4", NOW)
    again = await called.add([new(2), new(3), new(5, "b9")])  # cancelled, removed, there
    assert [file["file_id"] for file in again] == ["2", "3"]
    return called
