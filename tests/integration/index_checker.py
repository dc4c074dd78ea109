"""Whether the index holds what the files of the vector stores say, and nothing else: embedder ``none``."""

from collections import Counter
from pathlib import Path

from services.tool_retrieval.chunking import windows_of
from services.tool_retrieval.index.lance import LanceIndex
from services.tool_retrieval.parsing.formats import HEADED, format_of
from services.tool_retrieval.tables import TableStore
from shared.files.parsed import ParsedFiles
from shared.stores.database import Database, Document
from shared.tokenizer import token_ends


async def differences(db: Database, folder: Path) -> list[str]:
    """Return, in words, what is lost, left over, doubled or partial; nothing while all is well."""
    stores = [store["_id"] async for store in db["vector_stores"].find({"live": True})]
    index, tables = LanceIndex(str(folder)), TableStore(db)
    found: list[str] = []
    try:
        known = set()
        for store in stores:
            rows: Counter[str] = Counter()
            for table in await tables.of_store(store):
                known.add(table.name)
                rows.update(await _rows(index, table.name))
            wanted: set[str] = set()
            async for file in db["vector_store_files"].find({"vector_store_id": store}):
                found += _unfinished(file)
                wanted |= await _windows(db, file)
            found += [f"{name} is in {store} {count} times" for name, count in rows.items() if count > 1]
            found += [f"{name} is lost from {store}" for name in sorted(wanted - rows.keys())]
            found += [f"{name} is left over in {store}" for name in sorted(rows.keys() - wanted)]
        found += [f"the table {name} is nobody's" for name in sorted(_folders(folder) - known)]
    finally:
        await index.close()
    return found


async def _rows(index: LanceIndex, name: str) -> list[str]:
    try:
        opened = await (await index.open()).open_table(name)
    except ValueError:
        return []  # noted, and not made yet
    names: list[str] = (await opened.query().select(["id"]).to_arrow())["id"].to_pylist()
    opened.close()
    return names


def _folders(folder: Path) -> set[str]:
    return {each.stem for each in folder.glob("*.lance")}


def _unfinished(file: Document) -> list[str]:
    if file["live"] and file["status"] != "completed":
        return [f"{file['filename']} is {file['status']}: {file['last_error']}"]
    if file["live"] and file["attempts"]:
        return [f"{file['filename']} has attempts left over"]
    return []


async def _windows(db: Database, file: Document) -> set[str]:
    """The ids of all windows that the index must hold of ``file``."""
    if not file["live"] or not file["active_gen"]:
        return set()
    text = await ParsedFiles(db).read(file["file_id"])
    assert text is not None, f"the text of {file['filename']} is lost"
    size, overlap = (file["chunking"][f"{name}_tokens"] for name in ("max_chunk_size", "chunk_overlap"))
    headings = format_of(file["filename"]) in HEADED
    windows = windows_of(text, token_ends(text), size=size, overlap=overlap, headings=headings)
    return {f"{file['file_id']}:{file['active_gen']}:{number}" for number in range(len(windows))}
