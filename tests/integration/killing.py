"""tool_code in a process that dies at a moment of chance, and callers who want their answers all the same."""

import ast
import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

from services.tool_code.app import build_app
from services.tool_code.handlers import Handlers
from services.tool_code.settings import Settings
from shared import failpoints
from shared.events import CodeRequested, ToolResult
from shared.ids import new_id
from shared.topics import TOOL_REQUESTS_CODE
from tests.integration.tool_asking import Orchestrator, thread

PLACES = [place for place in failpoints.PLACES if place.startswith(("tool_code.", "intake.", "publisher."))]
NOT_RUN = ("was not run again", "could not be run")
# A process beside the code, and a file that has each call once.
CODE = """
import subprocess, time
beside = subprocess.Popen(["sh", "-c", "sleep 600; : {mark}"])
with open("/mnt/data/calls.txt", "a") as calls:
    calls.write("{call}\\n")
time.sleep({pause})
print(open("/mnt/data/calls.txt").read().split())
"""
ASK_AGAIN_S = 3.0
LATEST_DEATH_S = 6.0
ANSWERED_WITHIN_S = 120.0


def serve(settings: Settings, fault: str, after_s: float) -> None:
    """Serve until killed: where ``fault`` says, or so long after the first request came."""
    take = Handlers.on_code_requested
    timers: list[threading.Timer] = []

    async def taken(handlers: Handlers, request: CodeRequested) -> None:
        if not timers:
            timers.append(threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL)))
            timers[0].start()
        await take(handlers, request)

    async def forever() -> None:
        app = build_app(settings)
        async with app.router.lifespan_context(app):
            await asyncio.Event().wait()

    failpoints.arm(fault)
    with mock.patch.object(Handlers, "on_code_requested", taken if after_s else take):
        asyncio.run(forever())


def worker(settings: Settings, *, fault: str = "", after_s: float = 0.0) -> BaseProcess:
    """Started from a process that has everything imported: a death would cost seconds otherwise."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=serve, args=(settings, fault, after_s), daemon=True)
    process.start()
    return process


def doomed(settings: Settings, chance: random.Random) -> BaseProcess:
    """One that dies at a named place or, as often, at no particular one."""
    if chance.random() < 0.5:
        return worker(settings, after_s=chance.uniform(0.001, 1.0))
    fault = f"{chance.choice(PLACES)}:{chance.randint(1, 4)}:kill"
    return worker(settings, fault=fault, after_s=LATEST_DEATH_S)


def remains(mark: str) -> list[str]:
    """Commands of processes that name ``mark``: the sandbox's driver and what its code has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if mark.encode() in command:
                    found.append(f"{entry.name} {command[:100]!r}")
    return found


@dataclass
class Callers:
    """Several threads, each with one call after the other; asks again as a run's sweeper would."""

    orchestrator: Orchestrator
    mark: str
    chance: random.Random
    answers: dict[str, list[ToolResult]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    ran: int = 0
    not_run: int = 0

    @asynccontextmanager
    async def calling(self, threads: int) -> AsyncIterator[None]:
        """At the end each thread has got the answer to its last call."""
        listening = asyncio.create_task(self._listen())
        stop = asyncio.Event()
        callers = [asyncio.create_task(self._call(stop)) for _ in range(threads)]
        try:
            yield
            stop.set()
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await asyncio.gather(*callers)
        finally:
            for task in (listening, *callers):
                task.cancel()
            await asyncio.gather(listening, *callers, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            result = await self.orchestrator.result()
            self.answers[result.call_id].append(result)

    async def _call(self, stop: asyncio.Event) -> None:
        mine, kept = thread(), list[str]()
        while not stop.is_set():
            request = self._request(mine)
            if ran := self._judge(request.call_id, await self._answer(request), kept):
                kept.append(ran)

    def _request(self, mine: str) -> CodeRequested:
        call = new_id("call")
        code = CODE.format(mark=self.mark, call=call, pause=round(self.chance.uniform(0, 0.2), 3))
        return CodeRequested(
            call_id=call,
            run_id=mine,
            thread_id=mine,
            project_id="p",
            code=code,
            token="t",
            deadline=time.time() + 10 * ANSWERED_WITHIN_S,
            files=(),
        )

    async def _answer(self, request: CodeRequested) -> str:
        while True:
            await self.orchestrator.publisher.request(TOOL_REQUESTS_CODE, request.thread_id, request)
            deadline = time.monotonic() + ASK_AGAIN_S
            while time.monotonic() < deadline:
                if found := self.answers.get(request.call_id):
                    return found[0].output
                await asyncio.sleep(0.02)

    def _judge(self, call: str, output: str, kept: list[str]) -> str | None:
        """The call, if its code ran; what was ``kept`` before must be there, and nothing twice."""
        if any(words in output for words in NOT_RUN):
            self.not_run += 1
            return None
        try:
            there = ast.literal_eval(output.strip().splitlines()[-1])
        except (SyntaxError, ValueError, IndexError):
            self.wrong.append(f"{call} printed {output!r}")
            return None
        self.ran += 1
        if missing := [each for each in kept if each not in there]:
            self.wrong.append(f"{call} does not find what {missing} wrote: {output!r}")
        if there.count(call) != 1 or len(set(there)) != len(there):
            self.wrong.append(f"something ran twice, or not: {call}: {output!r}")
        return call

    def told_differently(self) -> list[str]:
        """Calls that were answered in two ways."""
        return [call for call, results in self.answers.items() if any(each != results[0] for each in results)]
