"""Keeps a stack busy with walks, while somebody breaks it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.chaos.client import Client, GaveUp
from tests.chaos.collecting import collect, key_of_a_stranger, sample
from tests.chaos.history import History
from tests.chaos.lab import Lab
from tests.chaos.walks import WALKS, Walk, Walker

RECOVERY_S = 25.0  # after something is there again, until all have found it and done what was left


@dataclass
class Work:
    """``walkers`` walk until they are stopped; ``history`` then tells it all."""

    lab: Lab
    seed: int
    failures: list[str] = field(default_factory=list)
    walks: int = 0
    _walkers: list[Walker] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _most: int | None = None

    async def begin(
        self, walkers: int, most: int | None = None, only: dict[Walk, float] | None = None
    ) -> None:
        """Let ``walkers`` walk side by side, ``most`` walks altogether."""
        lab, self._most = self.lab, most
        stranger_key = await key_of_a_stranger(lab)
        for number in range(walkers):
            chance = random.Random(f"{self.seed} {number}")
            client = Client(f"client-{number}", lab.stack.base_url, lab.stack.api_key, self.lab.notes, chance)
            stranger = Client(f"stranger-{number}", lab.stack.base_url, stranger_key, self.lab.notes, chance)
            walker = Walker(client, stranger, chance)
            self._walkers.append(walker)
            self._tasks.append(asyncio.create_task(self._keep_walking(walker, only or WALKS)))

    async def take(self, walk: Walk) -> None:
        """Take one walk more, at once."""
        await self._walk(self._walkers[0], walk)

    def add(self, walking: "asyncio.Task[None] | None") -> None:
        """Wait for it, too, at the end."""
        if walking is not None:
            self._tasks.append(walking)

    async def _keep_walking(self, walker: Walker, walks: dict[Walk, float]) -> None:
        while not self._stop.is_set() and (self._most is None or self.walks < self._most):
            (walk,) = walker.chance.choices(list(walks), list(walks.values()))
            await self._walk(walker, walk)

    async def _walk(self, walker: Walker, walk: Walk) -> None:
        self.walks += 1
        try:
            await walk(walker)
        except GaveUp as error:
            self.failures.append(f"{walk.__name__}: {error}")
        except Exception as error:  # whatever it is, the other walks go on
            self.failures.append(f"{walk.__name__}: {error!r}")

    async def strike(self, fault: Awaitable[object], *, after_s: float = 1.0) -> None:
        """Let ``fault`` strike while clients work."""
        await asyncio.sleep(0.5)
        async with self.lab.disturbance(RECOVERY_S):
            await fault
        await asyncio.sleep(after_s)

    async def finish(self) -> None:
        """Let every walk come to its end, and take no other."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def history(self) -> History:
        """All that happened in the lab so far."""
        return await collect(self.lab, seed=self.seed)

    async def close(self) -> None:
        for walker in self._walkers:
            await walker.client.close()
            await walker.stranger.close()


AtWork: TypeAlias = Callable[[], AbstractAsyncContextManager[Work]]


@asynccontextmanager
async def at_work(
    lab: Lab,
    *,
    seed: int,
    walkers: int,
    most: int | None = None,
    only: dict[Walk, float] | None = None,
    kept: list[Work] | None = None,
) -> AsyncIterator[Work]:
    """Work goes on from the first line of the block until its end; the rest is done after it."""
    work = Work(lab, seed)
    if kept is not None:
        kept.append(work)
    await work.begin(walkers, most, only)
    sampling = asyncio.create_task(sample(lab, lab.notes.seen))
    try:
        yield work
        await lab.make_whole()
        await work.finish()
    finally:
        sampling.cancel()
        for task in work._tasks:
            task.cancel()
        await asyncio.gather(sampling, *work._tasks, return_exceptions=True)
        await work.close()
