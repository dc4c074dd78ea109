"""Keeps one program running: sees that it is ready, and starts it again when it ends."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass

from deploy.local.process import Process
from deploy.local.program import Output, Program
from shared.backoff import backoff_s

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.05


class ProgramError(Exception):
    """A program does not do its work; the message says which, why, and what it said last."""


@dataclass(frozen=True)
class Restarts:
    """How often a program that ends is started again, and when that is given up."""

    most_in_a_row: int = 5
    most_before_ready: int = 2  # one that has never been ready will hardly be
    first_pause_s: float = 0.5
    most_pause_s: float = 10.0
    settled_after_s: float = 30.0  # a life as long as this ends the row


class Keeper:
    """One program over all its lives. ``restarts=None``: one life only."""

    def __init__(self, program: Program, output: Output, restarts: Restarts | None) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.task: asyncio.Task[None]
        self._output = output
        self._restarts = restarts
        self._process = Process(program, output)
        self._stop = asyncio.Event()
        self._answer = "not started"
        self._was_ready = False

    def begin(self) -> None:
        self.task = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def describe(self) -> str:
        """Say why it is not ready and what it wrote last."""
        last = "\n".join(f"    {line}" for line in self._process.tail) or "    (it wrote nothing)"
        return f"{self.program.name} is not ready: {self._answer}\n  its last lines:\n{last}"

    async def strike(self) -> None:
        """Kill the process alone, as the system would, and wait until it is gone."""
        process = self._process
        process.signal(signal.SIGKILL)
        await process.ended.wait()

    def kill(self) -> None:
        """End it and its process group now, and for good."""
        self._stop.set()
        self._process.kill()

    async def stop(self) -> None:
        """Ask it to end; kill it when it has not after its ``stop_within_s``."""
        self._stop.set()
        self._process.signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self.task}, timeout=self.program.stop_within_s)
        if not done:
            log.warning("%s did not stop in %g s", self.program.name, self.program.stop_within_s)
            self._process.kill()
        with contextlib.suppress(ProgramError):
            await self.task

    async def _keep(self) -> None:
        crashes = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self._live()
            if self._stop.is_set():
                return
            self._answer = f"it {_ending(code)}"
            if self._restarts is None:
                log.info("%s: %s", self.program.name, self._answer)
                return
            crashes = 1 if loop.time() - began > self._restarts.settled_after_s else crashes + 1
            if crashes > self._most_crashes(self._restarts):
                raise ProgramError(f"{self.describe()}\n  given up after {crashes} times in a row")
            await self._pause(crashes, self._restarts)

    async def _live(self) -> int:
        if self._stop.is_set():
            return 0
        self._process = Process(self.program, self._output)
        watching = asyncio.create_task(self._watch())
        try:
            return await self._process.run()
        finally:
            watching.cancel()
            self.ready.clear()

    def _most_crashes(self, restarts: Restarts) -> int:
        return restarts.most_in_a_row if self._was_ready else restarts.most_before_ready

    async def _pause(self, crashes: int, restarts: Restarts) -> None:
        pause_s = backoff_s(crashes, first_s=restarts.first_pause_s, most_s=restarts.most_pause_s)
        log.warning("%s: %s; starting it again in %.1f s", self.program.name, self._answer, pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause_s)

    async def _watch(self) -> None:
        while answer := await self._look():
            self._answer = answer
            await asyncio.sleep(LOOK_EVERY_S)
        self._was_ready = True
        self.ready.set()
        log.info("%s is ready", self.program.name, extra={"pid": self.pid})

    async def _look(self) -> str:
        if answer := await self.program.probe():
            return answer
        try:
            await self.program.prepare()
        except Exception as error:  # whatever it was: not ready, and looked at again
            return f"{type(error).__name__}: {error}"
        return ""


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
