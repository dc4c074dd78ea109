"""The text of files in a real store."""

import asyncio

from shared.files.parsed import PIECE_CHARS, ParsedFile, ParsedFiles
from shared.stores.database import Database


async def test_a_text_comes_back_whole_and_in_passages(db: Database) -> None:
    files = ParsedFiles(db)
    text = "".join(f"{n} ä\U0001f600\n" for n in range(PIECE_CHARS // 4))
    file = ParsedFile("file-1", "p", len(text), 7, (0, 100, 200))
    assert await files.read("file-1") is None
    await files.put(file, text)
    assert await files.get("file-1") == file
    assert await files.read("file-1") == text
    for start, end in ((0, 1), (PIECE_CHARS - 3, PIECE_CHARS + 3), (len(text) - 1, len(text)), (5, 5)):
        assert await files.passage("file-1", start, end) == text[start:end]
    assert await files.passage("file-1", len(text) - 1, len(text) + 1) is None


async def test_two_workers_write_the_same_text(db: Database) -> None:
    files = ParsedFiles(db)
    text = "abc" * PIECE_CHARS
    file = ParsedFile("file-1", "p", len(text), 1)
    await asyncio.gather(files.put(file, text), files.put(file, text))
    assert await files.read("file-1") == text
    await files.delete("file-1")
    assert (await files.read("file-1"), await db["parsed_texts"].find_one({})) == (None, None)


async def test_an_empty_text_is_a_text(db: Database) -> None:
    files = ParsedFiles(db)
    await files.put(ParsedFile("file-1", "p", 0, 0), "")
    assert await files.read("file-1") == ""


def test_pages_are_counted_from_one() -> None:
    file = ParsedFile("file-1", "p", 300, 1, (0, 100, 200))
    assert file.pages_of(0, 100) == [1]
    assert file.pages_of(99, 101) == [1, 2]
    assert file.pages_of(150, 300) == [2, 3]
    assert ParsedFile("file-1", "p", 300, 1).pages_of(0, 1) is None
