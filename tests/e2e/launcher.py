"""``threadmill up`` as a person runs it: a process, its output, and what it leaves behind."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.eventually import eventually
from tests.processes import beside_python

ENDED_WITHIN_S = 40.0


class Launcher:
    """One life of the command. ``said`` is its standard output, ``logged`` its standard error."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self._out, self._err = folder / "out", folder / "err"
        self._marker = f"THREADMILL_TEST_MARKER={folder}"
        unset = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "THREADMILL_API_KEY")
        env = {name: value for name, value in os.environ.items() if name not in unset}
        name, _, value = self._marker.partition("=")
        command = [beside_python("python"), "-m", "deploy.local", "up", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(command, stdout=out, stderr=err, env={**env, name: value})

    @property
    def said(self) -> str:
        return self._out.read_text()

    @property
    def logged(self) -> str:
        return self._err.read_text()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def says(self, words: str, *, within_s: float = 60.0) -> None:
        async def said() -> bool:
            assert self._process.poll() is None, f"it ended before it said {words!r}:\n{self.logged}"
            return words in self.said

        try:
            await eventually(said, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said}\n{self.logged}") from None

    async def logs(self, words: str, *, times: int = 1, within_s: float = 60.0) -> None:
        async def logged() -> bool:
            return self.logged.count(words) >= times

        await eventually(logged, within_s=within_s)

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""

        async def code() -> tuple[int] | None:
            ended = self._process.poll()
            return None if ended is None else (ended,)

        return (await eventually(code, within_s=ENDED_WITHIN_S))[0]

    def child(self, words: str) -> int:
        """Return the process id of what it runs with ``words`` in its command line."""
        found = [pid for pid in self.alive() if words in _read(pid, "cmdline").replace("\0", " ")]
        assert len(found) == 1, f"{words}: {found}"
        return found[0]

    def alive(self) -> list[int]:
        """Return all processes that descend from it, also those that nobody waits for any more."""
        running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in running if self._marker in _read(pid, "environ").split("\0")]

    async def leaves_nothing(self) -> None:
        async def nothing() -> bool:
            return not self.alive()

        try:
            await eventually(nothing, within_s=30)
        except AssertionError:
            left = [_read(pid, "cmdline").replace("\0", " ") for pid in self.alive()]
            raise AssertionError(f"left behind: {left}") from None

    def clean_up(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def launched(folder: Path, *arguments: str) -> Iterator[Launcher]:
    launcher = Launcher(folder, *arguments)
    try:
        yield launcher
    finally:
        launcher.clean_up()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
