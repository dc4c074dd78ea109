"""The text of files, as the parsers read it: made once for a file, whatever vector stores it is in.

``parsed_files``  {_id: "file:version", file_id, project_id, chars, tokens, pages}: there once the text is
                  complete. ``pages`` are the places where pages begin, None for a file that has none.
``parsed_texts``  {_id: "file:version:n", file_id, text}: the text, in pieces of equal length

Pieces rather than one object in the storage, so that a passage costs one or two small reads; their ids follow
from the file's, so that two workers, or one after a crash, write the same. All places count code points.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shared.stores.database import ASCENDING, Database, Document

VERSION = 1  # of the parsers: another one reads every file anew
PIECE_CHARS = 100_000

Passage: TypeAlias = tuple[str, int, int]  # a file's id, and where the text begins and ends


@dataclass(frozen=True)
class ParsedFile:
    file_id: str
    project_id: str
    chars: int
    tokens: int
    pages: tuple[int, ...] | None = None

    def pages_of(self, start: int, end: int) -> list[int] | None:
        """Return the numbers, from 1, of the pages that hold the text from ``start`` to ``end``."""
        if self.pages is None:
            return None
        first = bisect_right(self.pages, start)
        last = bisect_right(self.pages, max(start, end - 1))
        return list(range(max(first, 1), max(last, 1) + 1))


class ParsedFiles:
    def __init__(self, db: Database) -> None:
        self._files = db["parsed_files"]
        self._texts = db["parsed_texts"]

    async def create_indexes(self) -> None:
        await self._files.create_index([("file_id", ASCENDING)])
        await self._texts.create_index([("file_id", ASCENDING)])

    async def put(self, file: ParsedFile, text: str) -> None:
        """Keep the text of a file. Safe to repeat, also by two at once."""
        key = _key(file.file_id)
        for number, start in enumerate(range(0, len(text), PIECE_CHARS)):
            piece = {"file_id": file.file_id, "text": text[start : start + PIECE_CHARS]}
            await self._texts.replace_one({"_id": f"{key}:{number}"}, piece, upsert=True)
        pages = None if file.pages is None else list(file.pages)
        fields = {"chars": file.chars, "tokens": file.tokens, "pages": pages}
        whole = {"file_id": file.file_id, "project_id": file.project_id, **fields}
        await self._files.replace_one({"_id": key}, whole, upsert=True)

    async def get(self, file_id: str) -> ParsedFile | None:
        """Return what is known of the text of a file; None if there is none (yet)."""
        return (await self.many([file_id])).get(file_id)

    async def many(self, file_ids: Iterable[str]) -> dict[str, ParsedFile]:
        """Return what is known of the texts of files, in one read; of those that have one."""
        keys = [_key(file_id) for file_id in file_ids]
        found = self._files.find({"_id": {"$in": keys}})
        return {each["file_id"]: _parsed_file(each) async for each in found}

    async def read(self, file_id: str) -> str | None:
        """Return the text of a file; None if there is none (yet)."""
        file = await self.get(file_id)
        return None if file is None else await self.passage(file_id, 0, file.chars)

    async def passage(self, file_id: str, start: int, end: int) -> str | None:
        """Return the text from ``start`` to ``end``; None if it is not all there."""
        return (await self.passages([(file_id, start, end)]))[0]

    async def passages(self, wanted: Sequence[Passage]) -> list[str | None]:
        """Return the text of each, in one read; None for one that is not all there."""
        names = {name for each in wanted for name in _pieces(each)}
        pieces = self._texts.find({"_id": {"$in": sorted(names)}})
        texts = {piece["_id"]: piece["text"] async for piece in pieces}
        return [_cut_out(each, texts) for each in wanted]

    async def delete(self, file_id: str) -> None:
        await self._files.delete_many({"file_id": file_id})
        await self._texts.delete_many({"file_id": file_id})


def _pieces(passage: Passage) -> list[str]:
    file_id, start, end = passage
    if end <= start:
        return []
    return [
        f"{_key(file_id)}:{number}" for number in range(start // PIECE_CHARS, (end - 1) // PIECE_CHARS + 1)
    ]


def _cut_out(passage: Passage, texts: Mapping[str, str]) -> str | None:
    _, start, end = passage
    names = _pieces(passage)
    if any(name not in texts for name in names):
        return None
    text = "".join(texts[name] for name in names)[start % PIECE_CHARS :][: end - start]
    return text if len(text) == max(end - start, 0) else None


def _parsed_file(found: Document) -> ParsedFile:
    pages = None if found["pages"] is None else tuple(found["pages"])
    return ParsedFile(found["file_id"], found["project_id"], found["chars"], found["tokens"], pages)


def _key(file_id: str) -> str:
    return f"{file_id}:{VERSION}"
