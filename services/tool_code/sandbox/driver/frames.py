"""The wire format on every pipe here: ``u32 length | u8 type | payload``."""

import json
import os
import struct
from collections.abc import Iterator
from typing import Any

JSON = 1
BYTES = 2  # belongs to the JSON frame before it

HEADER = struct.Struct(">IB")
READ_BYTES = 1 << 18


def pack(message: dict[str, Any], blob: bytes | None = None) -> bytes:
    """One message, with the bytes that belong to it, ready to be written."""
    body = json.dumps(message).encode()  # ASCII: lone surrogates in file names survive as escapes
    framed = HEADER.pack(len(body), JSON) + body
    if blob is None:
        return framed
    return framed + HEADER.pack(len(blob), BYTES) + blob


def write(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class FrameReader:
    """Cuts a byte stream into frames; refuses those longer than ``max_bytes``."""

    def __init__(self, fd: int, max_bytes: int) -> None:
        self.fd = fd
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self) -> None:
        """Read once.

        Raises:
            EOFError: the other side has closed.
        """
        data = os.read(self.fd, READ_BYTES)
        if not data:
            raise EOFError
        self._buffer += data

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The complete frames read so far.

        Raises:
            ValueError: a frame is longer than allowed; the stream is lost.
        """
        while len(self._buffer) >= HEADER.size:
            length, kind = HEADER.unpack_from(self._buffer)
            if length > self._max_bytes:
                raise ValueError(f"frame of {length} bytes")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield kind, payload


def parse(payload: bytes) -> dict[str, Any]:
    """A JSON payload as a dict.

    Raises:
        ValueError: it is not a JSON object.
    """
    try:
        message = json.loads(payload)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message
