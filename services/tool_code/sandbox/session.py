"""One live sandbox. The host believes nothing it says: every type, id and size is checked here again."""

import asyncio
import itertools
import json
import logging
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from services.tool_code.sandbox.channel import Channel
from services.tool_code.sandbox.errors import FileRefused, SandboxStartFailed, SessionClosed
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.running_call import OnOutput, ProtocolBroken, RunningCall

log = logging.getLogger(__name__)

HEADER = struct.Struct(">IB")
JSON, BYTES = 1, 2
MAX_JSON_BYTES = 1 << 20
MAX_FILE_BYTES = 32 << 20
OVERDUE_S = 5.0  # how long after limit and grace the driver may take to report before it is killed


class Session:
    """A sandbox and its one conversation; calls wait for each other."""

    def __init__(self, session_id: str, channel: Channel, limits: Limits) -> None:
        self.session_id = session_id
        self._channel = channel
        self._limits = limits
        self._lock = asyncio.Lock()
        self._ids = itertools.count(1)
        self._call: RunningCall | None = None
        self._answers: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}
        self._ready = asyncio.Event()
        self._alive = True
        self._listener = asyncio.create_task(self._listen(), name=f"sandbox {session_id}")

    @classmethod
    async def open(cls, session_id: str, channel: Channel, limits: Limits) -> "Session":
        """Speak first and wait for the driver.

        Raises:
            SandboxStartFailed: it did not answer; carries what it said on standard error.
        """
        session = cls(session_id, channel, limits)
        try:
            async with asyncio.timeout(limits.start_timeout_s):
                await session._send({"op": "hello"})
                await session._ready.wait()
        except (TimeoutError, SessionClosed):
            session._alive = False
        except asyncio.CancelledError:
            await session.close()
            raise
        if not session._alive:
            diagnosis = channel.diagnosis()
            await session.close()
            raise SandboxStartFailed(diagnosis or "the sandbox ended without a word")
        return session

    @property
    def alive(self) -> bool:
        """Whether the sandbox can take another call."""
        return self._alive

    async def run(self, code: str, *, timeout_s: float, on_output: OnOutput | None = None) -> Execution:
        """Run code in the session's Python; whatever the code does, this returns.

        If the caller is cancelled, the code is interrupted before the cancellation goes on.

        Raises:
            SessionClosed: the sandbox was gone before the code could start.
        """
        if len(code.encode("utf-8", "replace")) > self._limits.code_bytes:
            notice = f"The code is longer than {self._limits.code_bytes} bytes; it was not run."
            return Execution(status="error", logs="", notice=notice)
        async with self._lock:
            future = asyncio.get_running_loop().create_future()
            call = RunningCall(next(self._ids), self._limits, timeout_s, on_output, future)
            self._call = call
            try:
                request = {"op": "exec", "id": call.id, "code": code, "timeout_s": timeout_s}
                await self._send(request | {"grace_s": self._limits.grace_s})
                return await self._within(call, timeout_s + self._limits.grace_s + OVERDUE_S)
            except asyncio.CancelledError:
                if not call.finished.done():
                    with suppress(SessionClosed):
                        await self._send({"op": "interrupt"})
                    await self._within(call, self._limits.grace_s + OVERDUE_S)
                raise
            finally:
                self._call = None

    async def put(self, path: str, data: bytes) -> None:
        """Write one file, replacing it whole.

        Raises:
            FileRefused: the path leads out of the working directory, or the disk is full.
            SessionClosed: the sandbox is gone.
        """
        if len(data) > MAX_FILE_BYTES:
            raise FileRefused(f"{len(data)} bytes are too many")
        await self._ask({"op": "put", "path": path}, "put", data)

    async def get(self, path: str) -> bytes:
        """Read one regular file of at most 32 MiB.

        Raises:
            FileRefused: there is no such file, or it is something else.
            SessionClosed: the sandbox is gone.
        """
        return await self._ask({"op": "get", "path": path}, "file")

    async def reset(self) -> None:
        """Forget the variables, keep the files.

        Raises:
            SessionClosed: the sandbox is gone.
        """
        await self._ask({"op": "reset"}, "reset")

    async def preload(self, modules: Sequence[str]) -> None:
        """Import ``modules`` ahead of the first call; one that is not there is left out.

        Raises:
            SessionClosed: the sandbox is gone.
        """
        await self._ask({"op": "reset", "modules": list(modules)}, "reset")

    async def close(self) -> None:
        """End the sandbox. Safe to call twice, and while a call runs."""
        self._alive = False
        await self._channel.close()
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener
        self._end_all("the session was closed")

    async def _within(self, call: RunningCall, seconds: float) -> Execution:
        try:
            return await asyncio.wait_for(asyncio.shield(call.finished), seconds)
        except TimeoutError:
            log.warning("a sandbox did not answer and was killed", extra={"session_id": self.session_id})
            self._kill()
            return call.lost("timeout_killed", "the sandbox did not answer")

    async def _ask(self, request: dict[str, Any], event: str, blob: bytes | None = None) -> bytes:
        async with self._lock:
            number = next(self._ids)
            answer: asyncio.Future[tuple[dict[str, Any], bytes]] = asyncio.get_running_loop().create_future()
            self._answers[number] = answer
            try:
                await self._send(request | {"id": number}, blob)
                message, data = await asyncio.wait_for(answer, self._limits.start_timeout_s)
            except TimeoutError:
                self._kill()
                raise SessionClosed("the sandbox did not answer") from None
            finally:
                del self._answers[number]
        if message.get("event") != event:
            raise FileRefused(str(message.get("error"))[:200])
        return data

    async def _send(self, message: dict[str, Any], blob: bytes | None = None) -> None:
        if not self._alive:
            raise SessionClosed
        body = json.dumps(message).encode()
        data = HEADER.pack(len(body), JSON) + body
        if blob is not None:
            data += HEADER.pack(len(blob), BYTES) + blob
        try:
            await self._channel.send(data)
        except OSError as error:
            self._kill()
            raise SessionClosed from error

    def _kill(self) -> None:
        self._alive = False
        self._channel.kill()

    def _end_all(self, why: str) -> None:
        """Nobody may wait for an answer that cannot come any more."""
        self._alive = False
        self._ready.set()
        if self._call:
            self._call.end(self._call.lost("worker_died", why))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SessionClosed(why))

    async def _listen(self) -> None:
        why = "the sandbox ended"
        try:
            while True:
                await self._hear()
        except (EOFError, OSError):
            pass
        except ProtocolBroken as error:
            why = f"the sandbox broke the protocol: {error}"
            log.warning(why, extra={"session_id": self.session_id})
        except Exception:  # whatever the sandbox made us stumble over, nobody may wait for ever
            log.exception("the sandbox's frames could not be read", extra={"session_id": self.session_id})
        self._kill()
        self._end_all(why)

    async def _hear(self) -> None:
        kind, payload = await self._frame(MAX_JSON_BYTES)
        if kind != JSON:
            raise ProtocolBroken("bytes that were not announced")
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProtocolBroken("not JSON") from None
        if not isinstance(message, dict):
            raise ProtocolBroken("not a JSON object")
        event = message.get("event")
        call = self._call if self._call and message.get("id") == self._call.id else None
        if event == "ready":
            self._ready.set()
        elif event == "output":
            data = await self._bytes()
            if call:
                call.output(data, message.get("skipped"))
        elif event == "image":
            data = await self._bytes()
            if call:
                call.image(data)
        elif event == "done":
            if call:
                call.end(call.done(message))
        elif event in ("file", "put", "reset", "file_error", "pong"):
            await self._answer(message, event == "file")
        else:
            raise ProtocolBroken(f"event {str(event)[:40]!r}")

    async def _answer(self, message: dict[str, Any], with_bytes: bool) -> None:
        data = await self._bytes() if with_bytes else b""
        number = message.get("id")
        answer = self._answers.get(number) if isinstance(number, int) else None
        if answer and not answer.done():
            answer.set_result((message, data))

    async def _bytes(self) -> bytes:
        kind, payload = await self._frame(MAX_FILE_BYTES)
        if kind != BYTES:
            raise ProtocolBroken("announced bytes did not come")
        return payload

    async def _frame(self, max_bytes: int) -> tuple[int, bytes]:
        length, kind = HEADER.unpack(await self._channel.reader.readexactly(HEADER.size))
        if length > max_bytes:
            raise ProtocolBroken(f"a frame of {length} bytes")
        return kind, await self._channel.reader.readexactly(length)
