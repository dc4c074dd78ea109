"""What was measured, as text."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.spread import Load
from tests.bench.store import READS, WRITES

RESULTS = Path(__file__).with_name("RESULTS.md")


def heading() -> str:
    """Say where, when and of which commit."""
    date = datetime.now(UTC).date().isoformat()
    commit = _said("git", "rev-parse", "--short", "HEAD")
    changed = (
        " + local changes" if _said("git", "status", "--porcelain", "services", "shared", "deploy") else ""
    )
    machine = f"{_cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}"
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"## {date}, commit {commit}{changed}\n\n"
        f"{machine}, Python {platform.python_version()}. Load average at the start: {load}.\n"
    )


def table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)


def cells(load: Load) -> list[object]:
    return [load.latency, load.per_s, *load.cpu_ms.values(), sum(load.cpu_ms.values())]


def asked(commands: Mapping[str, float]) -> list[object]:
    """Writes and reads."""
    return [sum(commands[name] for name in WRITES), sum(commands[name] for name in READS)]


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _said(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, cwd=RESULTS.parent.parent.parent
    ).stdout.strip()


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
