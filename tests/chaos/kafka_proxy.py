"""A proxy that knows what it passes on to our own broker: refuses it, and loses answers, by their kind."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka import errors
from aiokafka.protocol.commit import OffsetCommitRequest_v3
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.group import HeartbeatRequest_v1, JoinGroupRequest_v2, SyncGroupRequest_v1
from aiokafka.protocol.produce import ProduceRequest_v7

from tests.chaos.proxies import Proxy

LENGTH = struct.Struct(">i")
HEADER = struct.Struct(">hhih")  # api key, api version, correlation id, length of the client id
NONE, NO_THROTTLE = -1, 0


def _of_partitions(request: Any, *fields: Any) -> list[Any]:
    return [(topic, [(each[0], *fields) for each in partitions]) for topic, partitions in request.topics]


# What each request is answered that fails with a code.
FAILED: dict[Any, Callable[[Any, int], Iterable[Any]]] = {
    ProduceRequest_v7: lambda asked, code: (_of_partitions(asked, code, NONE, NONE, NONE), NO_THROTTLE),
    FetchRequest_v4: lambda asked, code: (NO_THROTTLE, _of_partitions(asked, code, NONE, NONE, None, b"")),
    FindCoordinatorRequest_v1: lambda asked, code: (NO_THROTTLE, code, None, NONE, "", NONE),
    JoinGroupRequest_v2: lambda asked, code: (NO_THROTTLE, code, NONE, "", "", asked.member_id, []),
    SyncGroupRequest_v1: lambda asked, code: (NO_THROTTLE, code, b""),
    HeartbeatRequest_v1: lambda asked, code: (NO_THROTTLE, code),
    OffsetCommitRequest_v3: lambda asked, code: (NO_THROTTLE, _of_partitions(asked, code)),
}


class Asked(NamedTuple):
    """A request whose answer is due; ``refusal`` is that answer, where the broker was not asked."""

    key: int
    correlation_id: int
    refusal: bytes | None


class KafkaProxy(Proxy):
    """``refuses_with``: what requests of a kind are answered from now on, instead of being passed on.

    ``loses_of``: of so many requests of a kind the answers are lost, with their connection.
    """

    def __init__(self) -> None:
        super().__init__(renames_itself=True)
        self.refuses_with: dict[Any, type[errors.KafkaError]] = {}
        self.loses_of: Counter[Any] = Counter()
        self.refused: Counter[Any] = Counter()

    def heal(self) -> None:
        super().heal()
        self.refuses_with.clear()
        self.loses_of.clear()

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> list[Coroutine[Any, Any, None]]:
        due: asyncio.Queue[Asked] = asyncio.Queue()
        return [self._ask(reader, far_writer, due), self._answer(far_reader, writer, due)]

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: asyncio.Queue[Asked]
    ) -> None:
        while True:
            frame = await _frame(reader)
            await self._hold()
            key, version, correlation_id, name_length = HEADER.unpack_from(frame)
            body = frame[HEADER.size + max(name_length, 0) :]
            refusal = self._refusal(key, version, body)
            due.put_nowait(Asked(key, correlation_id, refusal))
            if refusal is None:
                writer.write(LENGTH.pack(len(frame)) + frame)
                await writer.drain()

    def _refusal(self, key: int, version: int, body: bytes) -> bytes | None:
        for kind, error in self.refuses_with.items():
            if (key, version) == (kind.API_KEY, kind.API_VERSION):
                self.refused[kind, error] += 1
                answer = kind.RESPONSE_TYPE(*FAILED[kind](kind.decode(BytesIO(body)), error.errno))
                return bytes(answer.encode())
        return None

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: asyncio.Queue[Asked]
    ) -> None:
        """In the order in which they were asked: clients count on it."""
        while True:
            asked = await due.get()
            if asked.refusal is None:
                frame = await _frame(reader)
                await self._hold()
                if self._is_lost() or self._is_lost_of_kind(asked.key):
                    return
            else:
                frame = LENGTH.pack(asked.correlation_id) + asked.refusal
            writer.write(LENGTH.pack(len(frame)) + self._renamed(frame))
            await writer.drain()

    def _is_lost_of_kind(self, key: int) -> bool:
        for kind, left in self.loses_of.items():
            if key == kind.API_KEY and left > 0:
                self.loses_of[kind] -= 1
                return True
        return False


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(length)
