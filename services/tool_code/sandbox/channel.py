"""The pipe to a sandbox, whatever it runs in."""

import asyncio
import contextlib
import socket
import subprocess
import tempfile
from typing import IO, Protocol, Self

CLOSE_PATIENCE_S = 1.0
KILL_PATIENCE_S = 5.0
DIAGNOSIS_BYTES = 2000
STREAM_LIMIT_BYTES = 1 << 20


class Reader(Protocol):
    """The half of asyncio's StreamReader that is needed here."""

    async def readexactly(self, n: int, /) -> bytes:
        """Raises EOFError if the stream ends before."""
        ...


class Channel(Protocol):
    """Bytes to and from the driver, and the end of it."""

    @property
    def reader(self) -> Reader: ...

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError if the sandbox is gone."""
        ...

    def kill(self) -> None:
        """End the sandbox now; returns at once."""
        ...

    async def close(self) -> None:
        """End the sandbox and wait until nothing of it is left. Safe to call twice."""
        ...

    def diagnosis(self) -> str:
        """What the sandbox said on standard error: the reason for a failed start."""
        ...


class ProcessChannel:
    """A sandbox that is a child process of ours."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        errors: IO[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.reader = reader
        self._process = process
        self._errors = errors
        self._writer = writer
        self._closed = False

    @classmethod
    async def open(cls, command: list[str]) -> Self:
        """Start the command with one socket as its standard input and output, and no environment."""
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        try:
            # From the event loop's own thread: bwrap dies with the thread that started it.
            process = subprocess.Popen(  # noqa: ASYNC220
                command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                env={"LANG": "C.UTF-8"},
                cwd="/",
            )
        except OSError:
            ours.close()
            errors.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_LIMIT_BYTES)
        return cls(process, errors, reader, writer)

    @property
    def pid(self) -> int:
        """The process we started, on the host."""
        return self._process.pid

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def kill(self) -> None:
        # Closing first lets the supervisor clean up; the kill is for one that cannot.
        self._writer.close()
        self._process.kill()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if not await self._ended(CLOSE_PATIENCE_S):
            self._process.kill()
            await self._ended(KILL_PATIENCE_S)
        self._errors.close()

    async def _ended(self, patience_s: float) -> bool:
        try:
            await asyncio.to_thread(self._process.wait, patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def diagnosis(self) -> str:
        if self._errors.closed:
            return ""
        size = self._errors.seek(0, 2)
        self._errors.seek(max(0, size - DIAGNOSIS_BYTES))
        return self._errors.read().decode(errors="replace").strip()
