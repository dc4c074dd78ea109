"""Reads a file in a process of its own, that can be killed."""

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import services
from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.formats import HEADED, check, format_of
from services.tool_retrieval.parsing.text import check_length, decode

log = logging.getLogger(__name__)

ROOT = Path(services.__file__).parent.parent
WALL_S = 120.0
MOST_BYTES = 512 << 20
SMALL_BYTES = 1 << 20  # text up to this size is not worth a process: decoding cannot be made to hang
TOO_LARGE = f"The file is larger than {MOST_BYTES >> 20} MB."
TOO_HARD = "The file takes too long to read, or too much memory."
NO_TEXT = "The file holds no text."
UNSEEN = (0, *range(0xD800, 0xE000))  # no store takes these


@dataclass(frozen=True)
class Parsed:
    text: str
    pages: tuple[int, ...] | None  # the places where they begin
    headings: bool  # lines that begin with "#" are headings


class Parser:
    """``at_once`` processes at most."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    async def parse(self, filename: str, content: AsyncIterable[bytes]) -> Parsed:
        """Return the text of a file.

        Raises:
            ParseError: it has none, or none that could be read within the limits.
        """
        kind = format_of(filename)
        async with self._free:
            with tempfile.TemporaryDirectory(prefix="threadmill-parse-") as folder:
                source = Path(folder, "in")
                length = await _save(content, source)
                if kind in ("text", "markdown") and length <= SMALL_BYTES:
                    whole = await asyncio.to_thread(source.read_bytes)
                    check(filename, whole)
                    return _checked(await asyncio.to_thread(decode, whole), None, kind in HEADED)
                found = await _in_child(filename, source, Path(folder, "out"))
        return await asyncio.to_thread(_checked, found["text"], found["pages"], found["headings"])


async def _save(content: AsyncIterable[bytes], to: Path) -> int:
    length = 0
    with await asyncio.to_thread(to.open, "wb") as file:
        async for piece in content:
            length += len(piece)
            if length > MOST_BYTES:
                raise ParseError("invalid_file", TOO_LARGE)
            await asyncio.to_thread(file.write, piece)
    return length


async def _in_child(filename: str, source: Path, target: Path) -> dict[str, object]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.tool_retrieval.parsing.child", filename, str(source), str(target)),
        cwd=ROOT,
        env={"PATH": os.defpath, "TMPDIR": str(source.parent), "HOME": str(source.parent)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = await asyncio.wait_for(child.wait(), WALL_S)
    except TimeoutError:
        raise ParseError("invalid_file", TOO_HARD) from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    found = await asyncio.to_thread(_answer, target) if code == 0 else None
    if found is None:
        log.warning("a parser ended", extra={"code": code})
        raise ParseError("invalid_file", TOO_HARD)
    if "code" in found:
        raise ParseError(found["code"], str(found["message"]))  # type: ignore[arg-type]
    return found


def _answer(target: Path) -> dict[str, object] | None:
    try:
        answer: dict[str, object] = json.loads(target.read_text())
    except (OSError, ValueError):
        return None
    return answer


def _checked(text: object, pages: object, headings: object) -> Parsed:
    assert isinstance(text, str)
    check_length(text)
    if not text.strip():
        raise ParseError("invalid_file", NO_TEXT)
    if pages is None:
        text = text.replace("\r\n", "\n")
    if _has_unseen(text):
        text = text.translate(dict.fromkeys(UNSEEN, "\ufffd"))
    assert pages is None or isinstance(pages, list)
    return Parsed(text, None if pages is None else tuple(pages), bool(headings))


def _has_unseen(text: str) -> bool:
    if "\0" in text:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
