"""Services as forks of one process that has imported them all: a start costs a tenth of its CPU.

For tests that start a service at each of many places. What is forked is a process as any other, with a
session, an environment and an output of its own; it is killed when the process that forked it ends.
"""

import asyncio
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from deploy.local.process import ROOT, Process
from deploy.local.tether import PR_SET_PDEATHSIG

KINDS = ("gateway", "run_orchestrator", "tool_code")
AT_HAND = hasattr(os, "pidfd_open")  # Linux
MOST_BYTES = 1 << 20


class Child:
    """What ``Process`` needs of the process that it started."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader, self._writer = reader, writer

    async def wait(self) -> int:
        try:
            return int(await self._reader.readline() or -signal.SIGKILL)
        finally:
            self._writer.close()


@contextmanager
def nursery(folder: Path) -> Iterator[None]:
    """Inside, every service that a ``Stack`` starts is forked; where that cannot be, it starts as ever."""
    if not AT_HAND:
        yield
        return
    place = os.path.relpath(folder / "nursery")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        command = [sys.executable, "-m", "tests.chaos.nursery", str(listener.fileno()), str(os.getpid())]
        forking = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])
    real = Process._spawn

    async def spawn(process: Process, write_fd: int) -> Child | asyncio.subprocess.Process:
        kind = process.program.command[-1].removeprefix("services.")
        if kind not in KINDS:
            return await real(process, write_fd)
        return await _ask(place, kind, dict(process.program.env), write_fd)

    try:
        with patch.object(Process, "_spawn", spawn):
            yield
    finally:
        forking.kill()
        forking.wait()


async def _ask(place: str, kind: str, env: dict[str, str], write_fd: int) -> Child:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    socket.send_fds(connection, [json.dumps([kind, env]).encode() + b"\n"], [write_fd])
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    return Child(int(await reader.readline()), reader, writer)


def serve(listener: socket.socket, parent: int) -> None:
    """Fork whatever is asked for, and tell how each ended."""
    _die_with(parent)
    for kind in KINDS:
        importlib.import_module(f"services.{kind}.app")
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.data is None:
                connection, _ = listener.accept()
                if (pid := _fork(connection)) == 0:
                    return
                ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                connection.sendall(f"{pid}\n".encode())
            else:
                pid, connection = key.data
                ready.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with connection:
                    connection.sendall(f"{code}\n".encode())


def _fork(connection: socket.socket) -> int:
    """Return the child's id; in the child, the service has run its life out: 0."""
    message, (output,), _, _ = socket.recv_fds(connection, MOST_BYTES, 1)
    while not message.endswith(b"\n"):
        message += connection.recv(MOST_BYTES)
    parent = os.getpid()
    if pid := os.fork():
        os.close(output)
        return pid
    os.setsid()
    _die_with(parent)
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    kind, env = json.loads(message)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [f"services.{kind}"]
    importlib.import_module(f"services.{kind}.__main__").main()
    return 0


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("its parent has ended")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
