"""What processes cost: CPU time and memory, from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
GONE = (FileNotFoundError, ProcessLookupError)

# Places in /proc/PID/stat behind the name
PARENT, CPU_TICKS, RESIDENT_PAGES = 1, slice(11, 15), 21


def cpu_s(pid: int) -> float:
    """CPU seconds of the process and of all below it so far, with those of children that ended."""
    return sum(sum(map(int, stat[CPU_TICKS])) * TICK_S for stat in _family(pid))


def resident_mb(pid: int) -> float:
    return sum(int(stat[RESIDENT_PAGES]) * PAGE_MB for stat in _family(pid))


def _family(pid: int) -> Iterator[list[str]]:
    stats = dict(_all())
    wanted = [pid]
    while wanted:
        parent = wanted.pop()
        if parent in stats:
            yield stats[parent]
        wanted += [child for child, stat in stats.items() if int(stat[PARENT]) == parent]


def _all() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except GONE:
                continue
            yield int(folder.name), stat.rpartition(")")[2].split()
