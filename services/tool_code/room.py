"""How many sandboxes this machine, or this container, has room for."""

import os
from pathlib import Path

EACH_BYTES = 128 << 20  # an idle sandbox with the usual libraries, and something of a user's
SHARE = 0.6  # of the memory: the rest is for calls that run, and for others
FEWEST = 2
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroups 2 and 1


def most_sandboxes() -> int:
    """Return how many idle sandboxes fit."""
    return max(FEWEST, int(memory_bytes() * SHARE / EACH_BYTES))


def memory_bytes() -> int:
    """Return what there is, or what the container may have, if that is less."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([there, *(limit for path in LIMITS if (limit := _limit(Path(path))))])


def _limit(path: Path) -> int | None:
    try:
        said = path.read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdigit() else None  # else: max
