"""Forms with files (``multipart/form-data``), read as they come: no more than a piece is ever held."""

import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidRequest

MOST_PARTS = 32
LONGEST_VALUE = 64 * 1024
NO_FORM = "The request must be a form: content-type 'multipart/form-data' with a boundary."
NOT_READABLE = "We could not parse the form of your request. It is not valid 'multipart/form-data'."
EXTENDED = re.compile(rb";\s*filename\*\s*=\s*(?:utf-8|UTF-8)'[^']*'([^;\s]+)")  # RFC 5987

Event: TypeAlias = tuple[Literal["part", "data", "end"], bytes]


@dataclass
class Part:
    """One field of the form. A ``filename`` makes it a file; its data must be taken or passed over."""

    name: str
    filename: str | None
    _form: "Form" = field(repr=False)

    async def data(self) -> AsyncGenerator[bytes, None]:
        while True:
            kind, data = await self._form.next_event()
            if kind == "end":
                return
            yield data

    async def text(self) -> str:
        """
        Raises:
            InvalidRequest: it is too long for a value.
        """
        value = bytearray()
        async for data in self.data():
            value += data
            if len(value) > LONGEST_VALUE:
                raise InvalidRequest(f"Invalid '{self.name}': string too long.", param=self.name)
        return value.decode(errors="replace")


class Form:
    """The parts of a form, in the order in which they come.

    Raises:
        InvalidRequest: from everything, where the body is no form.
    """

    def __init__(self, content_type: str | None, body: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InvalidRequest(NO_FORM)
        self._body = body
        self._events: deque[Event] = deque()
        self._name = self._value = self._disposition = b""
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": lambda: self._events.append(("part", self._disposition)),
                    "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
                    "on_part_end": lambda: self._events.append(("end", b"")),
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise InvalidRequest(NO_FORM) from None

    async def parts(self) -> AsyncGenerator[Part, None]:
        for _ in range(MOST_PARTS):
            while not self._events and not self._is_complete:
                await self._read()
            if not self._events:
                async for _behind in self._body:
                    pass  # it means nothing
                return
            _, disposition = await self.next_event()
            yield self._part(disposition)
        raise InvalidRequest(f"The form has more than {MOST_PARTS} parts.")

    async def next_event(self) -> Event:
        while not self._events:
            await self._read()
        return self._events.popleft()

    async def _read(self) -> None:
        if self._is_complete:
            raise InvalidRequest(NOT_READABLE)
        chunk = await anext(self._body, None)
        if chunk is None:
            raise InvalidRequest(NOT_READABLE)
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise InvalidRequest(NOT_READABLE) from None

    def _part(self, disposition: bytes) -> Part:
        kind, options = parse_options_header(disposition.decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise InvalidRequest(NOT_READABLE)
        filename = options.get(b"filename")
        if filename is None and (extended := EXTENDED.search(disposition)):
            filename = unquote(extended[1].decode("latin-1")).encode()
        return Part(
            options[b"name"].decode(errors="replace"),
            None if filename is None else filename.decode(errors="replace"),
            self,
        )

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _on_end(self) -> None:
        self._is_complete = True
