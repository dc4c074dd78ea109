"""Files of every format, and those that are made to break a parser."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.formats import TEXT
from services.tool_retrieval.parsing.process import ROOT, SMALL_BYTES, Parsed, Parser
from services.tool_retrieval.parsing.text import decode
from tests.unit.sample_documents import docx, pdf, pptx, zip_bomb


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


async def parse(filename: str, content: bytes) -> Parsed:
    return await Parser(at_once=2).parse(filename, pieces(content))


async def refused(filename: str, content: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        await parse(filename, content)
    assert caught.value.message
    return caught.value.code


@pytest.mark.parametrize("extension", [*TEXT, "md"])
async def test_text_and_code_are_read_as_they_are(extension: str) -> None:
    text = "# one\n\tnaïve = 'two'\n"
    found = await parse(f"a.{extension}", text.encode())
    assert found == Parsed(text, None, headings=extension == "md")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_text_is_read_in_whatever_encoding(encoding: str) -> None:
    text = "Grüße aus Köln. Übermäßig schöne Äpfel für Jäger. " * 20
    assert decode(text.encode(encoding)) == text


async def test_a_pdf_keeps_its_pages() -> None:
    found = await parse("a.pdf", pdf(["The first page", "The second (page)"]))
    assert found.pages is not None
    first, second = found.pages
    assert found.text[first:second].strip() == "The first page"
    assert found.text[second:].strip() == "The second (page)"


async def test_office_documents_keep_their_headings() -> None:
    found = await parse("a.docx", docx("About foxes.", heading="Animals"))
    assert found.headings
    assert "# Animals" in found.text
    assert "About foxes." in found.text
    slides = await parse("a.pptx", pptx("A slide on foxes", "A slide on dogs"))
    assert slides.text.index("foxes") < slides.text.index("dogs")
    page = await parse("a.html", b"<html><body><h1>Animals</h1><p>About foxes.</p></body></html>")
    assert "# Animals" in page.text
    assert "<p>" not in page.text


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.csv", b"a,b"),
        ("a.xlsx", b"PK\x03\x04"),
        ("a.png", b"\x89PNG"),
        ("a", b"text"),
    ],
)
async def test_other_formats_are_not_supported(filename: str, content: bytes) -> None:
    assert await refused(filename, content) == "unsupported_file"


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("empty.txt", b""),
        ("blank.md", b" \n\t\n"),
        ("bits.txt", bytes(range(256)) * 10),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(500)),
        ("text.pdf", b"no document"),
        ("text.docx", b"no document"),
        ("cut.docx", docx("About foxes.")[:200]),
        ("cut.pdf", b"%PDF-1.4\n1 0 obj"),
        ("locked.pdf", pdf(["secret"], encrypted=True)),
        ("locked.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)),
        ("no-text.pdf", pdf([""])),
        ("broken.txt", b"\xff\xfe\x00"),
    ],
)
async def test_what_is_not_what_its_name_says_is_refused(filename: str, content: bytes) -> None:
    assert await refused(filename, content) == "invalid_file"


async def test_an_entity_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not tell")
    head = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]>'
    with suppress(ParseError):
        found = await parse("xxe.docx", docx("About &x; foxes.", head=head))
        assert "do not tell" not in found.text


async def test_a_long_line_is_read() -> None:
    line = b"word " * (SMALL_BYTES // 2)
    assert len((await parse("long.txt", line)).text) == len(line)


def test_files_that_would_fill_the_memory_do_not(tmp_path: Path) -> None:
    hostile = {
        "bomb.docx": (zip_bomb(300), "invalid_file"),
        "line.txt": (b"word" * (25 << 20), "invalid_file"),
        "long.pdf": (pdf([f"Page {number}" for number in range(10_000)]), "10000 pages"),
    }
    for name, (content, _) in hostile.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "tests.unit.metered_parser", *(str(tmp_path / name) for name in hostile)]
    said = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    assert said["outcomes"] == [expected for _, expected in hostile.values()]
    assert said["peaks"]["service"] < 128, said
    assert said["peaks"]["parsers"] < 512, said


def test_a_parser_opens_no_socket() -> None:
    code = (
        "from services.tool_retrieval.parsing import child; child._confine()\n"
        "import socket\n"
        "try: socket.socket()\n"
        "except PermissionError: print('refused')"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "refused\n"
