"""The index over several processes' lives."""

from pathlib import Path

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.index.index import Table
from services.tool_retrieval.index.lance import LanceIndex

TABLE = Table("vs_a", "none", 0)
WINDOWS = [Window(0, 5, ((0, 10),))]


async def test_another_process_goes_on_with_a_table(tmp_path: Path) -> None:
    for gen in (1, 2):
        index = LanceIndex(str(tmp_path))
        await index.put(TABLE, "file-1", gen, WINDOWS, ["quick brown foxes"], None)
        await index.close()
    index = LanceIndex(str(tmp_path))
    await index.delete(TABLE, "file-1", below=2)
    assert await index.generations(TABLE) == {("file-1", 2)}
    assert [hit.gen for hit in await index.search(TABLE, "fox", None, limit=9)] == [2]
    await index.close()
