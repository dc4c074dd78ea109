"""Forms with files, however their bytes are cut."""

from collections.abc import AsyncIterator

import pytest

from services.gateway.multipart import MOST_PARTS, Form
from services.gateway.routes.files import disposition
from shared.errors import InvalidRequest

TYPE = "multipart/form-data; boundary=XyZ"


def part(disposition: str, value: bytes) -> bytes:
    head = f"--XyZ\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
    return head + value + b"\r\n"


END = b"--XyZ--\r\n"
TRICKY = b"\r\n--Xy\r\n--XyZ\r-\r\n\x00\xff--XyZ--"
FORM = part('name="file"; filename="你好.txt"', TRICKY) + part('name="purpose"', b"assistants") + END


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, size: int = 1 << 16, kind: str = TYPE) -> list[tuple[str, str | None, bytes]]:
    form = Form(kind, cut(body, size))
    return [
        (each.name, each.filename, b"".join([data async for data in each.data()]))
        async for each in form.parts()
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 16])
async def test_the_parts_are_the_same_however_they_come(size: int) -> None:
    assert await read(FORM, size) == [("file", "你好.txt", TRICKY), ("purpose", None, b"assistants")]


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('name="file"; filename="a b;c.txt"', "a b;c.txt"),
        ('filename="x.txt"; name="file"', "x.txt"),
        ("name=\"file\"; filename*=utf-8''%E4%BD%A0.txt", "你.txt"),  # urllib3 before 2
        ('name="file"; filename="a.txt"; filename*=utf-8\'\'b.txt', "a.txt"),
        ('name="file"; filename="%22quoted%22.txt"', "%22quoted%22.txt"),
        ('name="file"; filename=""', ""),
        ('name="file"', None),
    ],
)
async def test_a_name_is_kept_as_it_was_sent(header: str, filename: str | None) -> None:
    assert await read(part(header, b"x") + END) == [("file", filename, b"x")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        FORM[:-20],
        FORM[: len(FORM) // 2],
        b"--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n--XyZ--\r\n",
        part('filename="x"', b"x") + END,
        b"--XyZ\r\nContent-Disposition: form-data; name=" + b"x" * 100_000,
    ],
)
async def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await read(body, 50)


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "", "multipart/mixed; boundary=x"]
)
async def test_a_form_says_so(kind: str) -> None:
    with pytest.raises(InvalidRequest, match="multipart/form-data"):
        await read(FORM, kind=kind)


async def test_a_form_has_an_end() -> None:
    with pytest.raises(InvalidRequest, match="parts"):
        await read(part('name="a"', b"x") * (MOST_PARTS + 1) + END)
    value = await anext(Form(TYPE, cut(part('name="a"', b"x" * 70_000) + END, 999)).parts())
    with pytest.raises(InvalidRequest, match="too long"):
        await value.text()


@pytest.mark.parametrize("name", ['a"\r\nset-cookie: x', "\\", "né", "a\x00b", "\U0001f600"])
def test_a_download_is_named_without_harm_to_the_header(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
