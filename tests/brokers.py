"""A broker of our own for tests: ``deploy.local.broker`` in a process of its own, on a free port."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN_S = 20.0
STOPPED_WITHIN_S = 10.0
LISTENING = re.compile(r"listening on (\S+:\d+)")
ROOT = Path(__file__).parent.parent


@contextmanager
def local_broker(*options: str, port: int = 0) -> Iterator[str]:
    """Start it and give its address; stop it at the end.

    Args:
        port: 0 takes a free one, so that many test runs can go on side by side.

    Raises:
        AssertionError: it was not ready in time, or did not stop cleanly; carries what it logged.
    """
    with running_broker(*options, port=port) as (address, _):
        yield address


@contextmanager
def running_broker(*options: str, port: int = 0) -> Iterator[tuple[str, Path]]:
    """As ``local_broker``, with the file it logs to."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        path = Path(log.name)
        command = [sys.executable, "-m", "deploy.local.broker", "--port", str(port), *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield _address_of(process, path), path
        except BaseException:
            process.kill()
            raise
        finally:
            process.terminate()
            process.wait(STOPPED_WITHIN_S)
        assert process.returncode == 0, path.read_text()


def _address_of(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_WITHIN_S
    while not (found := LISTENING.search(log.read_text())):
        assert process.poll() is None, f"the broker did not start: {log.read_text()}"
        assert time.monotonic() < deadline, f"the broker is not ready: {log.read_text()}"
        time.sleep(0.01)
    return found[1]
