"""Runs one schedule and tells what was found."""

import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation.audit import INVARIANTS
from tests.simulation.clock import NothingLeft, VirtualLoop, virtual_time
from tests.simulation.process import Killed
from tests.simulation.world import World

UNEXPECTED = ("a model turn failed", "a request that cannot be processed", "background work ended")


@dataclass(frozen=True)
class Finding:
    seed: int
    violations: tuple[str, ...]
    statuses: tuple[str, ...]
    steps: int
    history: tuple[str, ...] = ()

    @property
    def invariants(self) -> set[int]:
        return {int(violation.partition(":")[0]) for violation in self.violations}

    def __str__(self) -> str:
        lines = [*self.history, f"seed {self.seed}: {len(self.violations)} violations"]
        lines += [f"invariant {number}: {INVARIANTS[number]}" for number in sorted(self.invariants)]
        lines += [f"  {violation}" for violation in self.violations]
        lines.append(f"again: python -m tests.simulation --seed {self.seed} --schedules 1 --trace")
        return "\n".join(lines)


def explore(seed: int, *, traced: bool = False, focus: Sequence[str] = ()) -> Finding:
    """Run the schedule of ``seed``: the same one each time. ``focus`` leaves out all other faults."""
    with _seldom_tidied(), virtual_time(seed) as loop, _errors() as errors:
        world = World(seed, loop, traced=traced, focus=focus)

        def on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            world.audit.crashed(context.get("exception"), f"{context['message']} {context.get('task')}")

        loop.set_exception_handler(on_error)
        _run(loop, world)
        for error in errors:
            world.audit.violate(0, error)
        runs = world.store.table("runs").documents.values()
        finding = Finding(
            seed,
            tuple(world.audit.violations),
            tuple(run["status"] for run in runs),
            world.steps,
            tuple(world.history or ()),
        )
        for process in world.processes:
            process.dead = True
    return finding


@contextmanager
def _seldom_tidied() -> Iterator[None]:
    """What a schedule leaves is looked for as garbage a few times in it, not at every 700th object.

    Not once at its end: what is used again at once is still in the processor's memory.
    """
    before = gc.get_threshold()
    gc.set_threshold(5_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run(loop: VirtualLoop, world: World) -> None:
    try:
        loop.run_until_complete(world.run())
    except NothingLeft:
        world.audit.violate(2, "everybody waits for something that will not come")


@contextmanager
def _errors() -> Iterator[list[str]]:
    """What the product logs of errors that it did not expect."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            if record.getMessage().startswith(UNEXPECTED) and not isinstance(error, Killed):
                found.append(f"{record.getMessage()}: {error!r}")

    root, listener = logging.getLogger(), Listener(level=logging.ERROR)
    level, handlers = root.level, root.handlers
    root.handlers, root.level = [listener], logging.ERROR
    try:
        yield found
    finally:
        root.handlers, root.level = handlers, level
