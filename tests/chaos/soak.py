"""One soak: work and a nemesis side by side on a stack of their own, and the checker at the end."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker import Violation, check
from tests.chaos.history import History
from tests.chaos.lab import laboratory
from tests.chaos.nemesis import nemesis
from tests.chaos.work import at_work


@dataclass
class Soaked:
    history: History
    violations: list[Violation]
    failures: list[str]  # of clients: what they never got an answer to
    broken: int  # things that the nemesis broke
    took_s: float

    @property
    def ends(self) -> dict[str, int]:
        return dict(Counter(run["status"] for run in self.history.runs))


async def soak(
    folder: Path, *, seed: int, for_s: float, walkers: int, runs: int = 0, tell: Callable[[str], None]
) -> Soaked:
    """Break things for ``for_s`` seconds, and longer until there are ``runs`` runs."""
    began = time.monotonic()
    async with laboratory(folder / "data", folder / "log") as lab:
        async with at_work(lab, seed=seed, walkers=walkers) as work:
            broken, chance = 0, random.Random(seed)
            while broken == 0 or lab.notes.ended < runs:
                broken += await nemesis(lab, chance, for_s=for_s if broken == 0 else 30, tell=tell)
                tell(f"{lab.notes.ended} runs have ended")
        history = await work.history()
    history.write(folder / "history.jsonl")
    return Soaked(history, check(history), work.failures, broken, time.monotonic() - began)
