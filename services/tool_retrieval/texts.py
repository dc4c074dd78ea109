"""The text of a file: read from what was parsed before, or parsed now and kept."""

import asyncio

from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.formats import HEADED, format_of
from services.tool_retrieval.parsing.process import Parser
from shared import clock
from shared.files.library import Library
from shared.files.parsed import ParsedFile, ParsedFiles
from shared.stores.database import Document
from shared.tokenizer import token_ends

MOST_TOKENS = 5_000_000
TOO_LONG = f"The file has more than {MOST_TOKENS:,} tokens."
GONE = "The file does not exist any more."


class Texts:
    def __init__(self, parsed: ParsedFiles, library: Library, parser: Parser) -> None:
        self._parsed = parsed
        self._library = library
        self._parser = parser

    async def of(self, file: Document) -> tuple[str, list[int], bool]:
        """Return the text of a vector store's file, where its tokens end, and whether it has headings.

        Raises:
            ParseError: it has none.
        """
        headings = format_of(file["filename"]) in HEADED
        known = await self._parsed.get(file["file_id"])
        text = known and await self._parsed.passage(file["file_id"], 0, known.chars)
        if text:
            return text, await asyncio.to_thread(token_ends, text), headings
        stored = await self._library.store.get(file["project_id"], file["file_id"], clock.now())
        if stored is None:
            raise ParseError("invalid_file", GONE)
        found = await self._parser.parse(stored["filename"], self._library.read(stored))
        ends = await asyncio.to_thread(token_ends, found.text)
        if len(ends) > MOST_TOKENS:
            raise ParseError("invalid_file", TOO_LONG)
        whole = ParsedFile(file["file_id"], file["project_id"], len(found.text), len(ends), found.pages)
        await self._parsed.put(whole, found.text)
        return found.text, ends, headings

    async def forget_gone(self, file: Document) -> None:
        """Delete the text of a file that was deleted; of one that only left a store, it stays."""
        if await self._library.store.get(file["project_id"], file["file_id"], clock.now()) is None:
            await self._parsed.delete(file["file_id"])
