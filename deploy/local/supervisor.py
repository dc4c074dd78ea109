"""Several programs kept running together, and stopped in turn."""

import asyncio
import itertools
import os

from deploy.local.keeper import Keeper, ProgramError, Restarts
from deploy.local.program import Output, Program


class Supervisor:
    def __init__(self, output: Output, restarts: Restarts | None) -> None:
        self._output = output
        self._restarts = restarts
        self._keepers: dict[str, Keeper] = {}
        self._changed = asyncio.Event()

    async def start(self, program: Program) -> None:
        """Start ``program``; one of that name that still runs is stopped first. Waits for nothing else."""
        if program.name in self._keepers:
            await self._keepers.pop(program.name).stop()
        keeper = Keeper(program, self._output, self._restarts)
        self._keepers[program.name] = keeper
        keeper.begin()
        self._changed.set()

    async def wait_ready(self, *names: str, within_s: float) -> None:
        """Wait until each of ``names`` is ready.

        Raises:
            ProgramError: one has ended or is not ready in time; says which, and its last lines.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        for name in names:
            keeper = self._keepers[name]
            ready = asyncio.create_task(keeper.ready.wait())
            try:
                left_s = max(0.0, deadline - asyncio.get_running_loop().time())
                await asyncio.wait({ready, keeper.task}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
            if keeper.task.done():
                await keeper.task
                raise ProgramError(keeper.describe())
            if not keeper.ready.is_set():
                raise ProgramError(f"{keeper.describe()}\n  waited {within_s:g} s")

    async def watch(self) -> None:
        """Return never.

        Raises:
            ProgramError: a program has ended for good.
        """
        while True:
            self._changed.clear()
            running = set()
            for keeper in self._keepers.values():
                if keeper.task.done():
                    await keeper.task
                else:
                    running.add(keeper.task)
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait({changed, *running}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()

    def pid(self, name: str) -> int:
        """Return the process id of ``name``.

        Raises:
            ProgramError: it does not run now.
        """
        if name not in self._keepers or (pid := self._keepers[name].pid) is None:
            raise ProgramError(f"{name} does not run")
        return pid

    def is_ready(self, name: str) -> bool:
        return name in self._keepers and self._keepers[name].ready.is_set()

    def signal(self, name: str, number: int) -> None:
        os.kill(self.pid(name), number)

    async def strike(self, name: str) -> None:
        """Kill the process ``name`` with signal 9, and wait until it is gone."""
        await self._keepers[name].strike()

    async def stop(self, name: str) -> None:
        await self._keepers[name].stop()

    async def stop_all(self) -> None:
        """Stop everything in turn: services first, what they use after them."""
        in_turn = sorted(self._keepers.values(), key=lambda keeper: keeper.program.turn)
        for _, group in itertools.groupby(in_turn, key=lambda keeper: keeper.program.turn):
            await asyncio.gather(*(keeper.stop() for keeper in group))

    def kill_all(self) -> None:
        for keeper in self._keepers.values():
            keeper.kill()
