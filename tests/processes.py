"""Child processes of the tests: free ports, and waiting until something listens."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def beside_python(name: str) -> str:
    """The command ``name`` of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def listening(
    command: Sequence[str], port: int, log: Path, *, within_s: float = READY_S
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` until the end of the block; ready once ``port`` accepts connections."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
    try:
        deadline = time.monotonic() + within_s
        while not accepts(port):
            assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{command[0]} does not listen:\n{log.read_text()[-2000:]}"
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
