"""One client's TCP connection: requests are answered one at a time, in the order they came."""

import asyncio
import logging
import struct
from typing import cast

from deploy.local.broker.errors import ProtocolError
from deploy.local.broker.wire import Dialect, Peer

logger = logging.getLogger(__name__)

LENGTH = struct.Struct(">i")
SMALLEST_REQUEST_BYTES = 10
QUEUED_REQUESTS = 32  # then reading pauses, so that a client cannot fill our memory


class Connection(asyncio.Protocol):
    """Answers what arrives until either side closes; an unreadable request closes this connection only.

    A long request (a fetch or a join that waits) is cancelled as soon as its client is gone.
    """

    def __init__(
        self, dialect: Dialect, open_connections: set["Connection"], *, max_request_bytes: int
    ) -> None:
        self._dialect = dialect
        self._open_connections = open_connections
        self._max_request_bytes = max_request_bytes
        self._received = bytearray()
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's looks like one, but is none
        peer_address, own_address = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peer = Peer(f"{peer_address[0]}:{peer_address[1]}", own_address[0], own_address[1])
        self._open_connections.add(self)
        self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._received)
            if not SMALLEST_REQUEST_BYTES <= length <= self._max_request_bytes:
                self._give_up(f"a request of {length} bytes is not acceptable")
                return
            end = LENGTH.size + length
            if len(self._received) < end:
                return
            self._requests.put_nowait(bytes(memoryview(self._received)[LENGTH.size : end]))
            del self._received[:end]
            if self._requests.qsize() >= QUEUED_REQUESTS:
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._open_connections.discard(self)
        self._answering.cancel()

    async def close(self) -> None:
        self._transport.abort()
        self._answering.cancel()
        await asyncio.wait([self._answering])

    async def _answer_all(self) -> None:
        try:
            while True:
                request = await self._requests.get()
                if self._requests.qsize() < QUEUED_REQUESTS:
                    self._transport.resume_reading()
                response = await self._dialect.answer(request, self._peer)
                if response is not None:
                    self._transport.writelines((LENGTH.pack(len(response)), response))
                    await self._writable.wait()
        except ProtocolError as error:
            self._give_up(str(error))
        except Exception:
            logger.exception("closing the connection of %s: a request failed", self._peer.address)
            self._transport.abort()

    def _give_up(self, reason: str) -> None:
        logger.warning("closing the connection of %s: %s", self._peer.address, reason)
        self._transport.close()
