"""A process of the simulated world. It dies or stops only where it talks to another: nothing else shows."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


class Killed(BaseException):
    """The process is gone. Not an ``Exception``: no handler of the product may outlive its process."""


class Process:
    """``reach`` is called before and after each thing that another process can notice."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.kind = name.partition(".")[0]
        self.dead = False
        self.leaving = False
        self.stopped_until_s = 0.0
        self.disturbed_s = -1.0  # when it last lost its broker, its store or its time
        world.processes.append(self)

    async def reach(self, what: str) -> None:
        """Let time pass, and maybe more: this is where the world does its worst.

        Raises:
            Killed: the process is dead. Its code runs on in memory until it gets here, and changes nothing.
        """
        world = self.world
        world.steps += 1
        world.disturb(self, what)
        if latency_s := world.latency_s():
            await world.loop.sleep(latency_s)
        else:
            await asyncio.sleep(0)
        if (left_s := self.stopped_until_s - world.loop.time()) > 0 and not self.dead:
            await asyncio.sleep(left_s)
        if self.dead:
            raise Killed(self.name)

    def kill(self) -> None:
        self.dead = True
        self.world.note(self.name, "is killed")

    def stop_for(self, seconds: float) -> None:
        self.stopped_until_s = self.world.loop.time() + seconds
        self.disturbed_s = self.world.loop.time()
        self.world.note(self.name, f"stops for {seconds:.1f} s")
