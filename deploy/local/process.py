"""One process: tied to this one, read line by line, ended without leftovers."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from pathlib import Path

import deploy
from deploy.local import tether
from deploy.local.program import Output, Program

KEPT_LINES = 20
MOST_LINE_BYTES = 1024 * 1024
LAST_WORDS_S = 1.0  # how long what it wrote is read after it has ended
ROOT = Path(deploy.__file__).parent.parent  # where services, shared and deploy are


class Process:
    """One life of a program. ``tail`` keeps the last lines that it wrote."""

    def __init__(self, program: Program, output: Output) -> None:
        self.program = program
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self.pid: int | None = None
        self.ended = asyncio.Event()
        self._output = output
        self._early_signal: int | None = None

    async def run(self) -> int:
        """Start it, and return its exit code once it has ended; ``-9`` means: by signal 9."""
        lines, pipe, write_fd = await _open_pipe()
        try:
            child = await self._spawn(write_fd)
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(write_fd)
        reading = asyncio.create_task(self._read(lines))
        self.pid = child.pid
        if self._early_signal is not None:
            self.signal(self._early_signal)
        try:
            return await child.wait()
        finally:
            self.kill()  # what it started itself and left in its group
            self.pid = None
            await asyncio.wait({reading}, timeout=LAST_WORDS_S)
            reading.cancel()
            pipe.close()
            self.ended.set()

    async def _spawn(self, write_fd: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid())),
            *self.program.command,
            env=dict(self.program.env),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=write_fd,
            stderr=write_fd,
            start_new_session=True,  # so that Ctrl-C on the terminal reaches the launcher alone
        )

    def signal(self, number: int) -> None:
        """Send it a signal; before it has been started, it gets that signal at once after."""
        if self.pid is None:
            self._early_signal = number
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all in its process group, now."""
        if self.pid is None:
            self._early_signal = signal.SIGKILL
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _read(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                raw = await lines.readline()
            except ValueError:  # longer than the limit; it has been dropped
                raw = b"(a line too long to show)\n"
            if not raw:
                return
            if line := raw.decode(errors="replace").rstrip():
                self.tail.append(line)
                self._output(self.program.name, line)
                if self.program.last_word and self.program.last_word in line:
                    self.kill()


async def _open_pipe() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """A pipe of our own: asyncio's ends only when the last grandchild has closed it."""
    read_fd, write_fd = os.pipe()
    lines = asyncio.StreamReader(limit=MOST_LINE_BYTES)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(read_fd, "rb", 0)
    )
    return lines, pipe, write_fd
