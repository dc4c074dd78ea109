"""``python -m tests.chaos.attacks``: ten minutes of random attacks, then a count of what is left of them.

Several sandboxes at once, each for a few attacks. None may answer wrongly afterwards, and nothing of them may
stay: no process, no folder, no container, no cgroup, no descriptor of ours.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import Preference, Unavailable, choose_backend
from services.tool_code.sandbox.errors import SandboxError
from tests.chaos.__main__ import tell
from tests.eventually import eventually
from tests.integration.killing import remains
from tests.integration.sandboxes import IMAGE, KINDS, LIMITS, PATIENT_S
from tests.integration.test_sandbox_attacks import DISK_BOMBS, ENDS, MEMORY_BOMBS

OTHERS = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "strays": "import subprocess\nfor _ in range(20): subprocess.Popen(['sleep', '600'])",
    "a daemon": "import os\nif not os.fork():\n    os.setsid()\n    while True: pass",
    "output": "while True: print('x' * 10_000)",
    "a loop that does not listen": "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    "descriptors": "x = []\nwhile True: x.append(open('/dev/null'))",
    "folders": "import os\nfor n in range(300): os.mkdir('d'); os.chdir('d')",
    "kills": "import os, signal\nos.kill(-1, signal.SIGKILL)",
}
ATTACKS = {**MEMORY_BOMBS, **DISK_BOMBS, **ENDS, **OTHERS}
CALL_S = 2.0
WARM_UP_S = 15.0
CONNECTIONS = 4  # to the daemon, more or less: the client keeps some open
GONE_WITHIN_S = 15.0


@dataclass
class Soak:
    backend: Backend
    chance: random.Random
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    sessions: int = 0

    async def attack(self, until: float) -> None:
        while time.monotonic() < until:
            session = await self.backend.start(f"soak-{self.sessions}")
            self.sessions += 1
            try:
                for _ in range(self.chance.randint(1, 4)):
                    name = self.chance.choice(list(ATTACKS))
                    execution = await session.run(textwrap.dedent(ATTACKS[name]), timeout_s=CALL_S)
                    self.ends[execution.status] += 1
                    if not session.alive:
                        self.wrong.append(f"{name} ended the sandbox: {execution}")
                        break
                    after = await session.run("print(1 + 1)", timeout_s=PATIENT_S)
                    if not after.logs.endswith("2\n"):  # what a thread of before prints may come first
                        self.wrong.append(f"after {name}: {after}")
            except SandboxError as error:
                self.wrong.append(repr(error))
            finally:
                await session.close()


def held(scratch: Path, kind: str) -> dict[str, int]:
    """What a sandbox could leave behind."""
    folders = scratch / "sessions"
    found = {
        "processes": len(remains(str(scratch))),
        "folders": len(list(folders.iterdir())) if folders.is_dir() else 0,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }
    if kind == "docker":  # of the whole machine
        command = ["docker", "ps", "-aq", "--filter", "label=threadmill=sandbox"]
        found["containers"] = len(subprocess.run(command, capture_output=True, check=True).stdout.split())
        found["cgroups"] = sum(1 for _ in Path("/sys/fs/cgroup").rglob("docker/*/cgroup.procs"))
    return found


async def soak(backend: Backend, scratch: Path, seconds: float, at_once: int, seed: int) -> bool:
    running = Soak(backend, random.Random(seed))
    warm = time.monotonic() + WARM_UP_S  # threads of the pool, and what is opened once
    await asyncio.gather(*(running.attack(warm) for _ in range(at_once)))
    before, began = held(scratch, backend.name), time.monotonic()
    most = before | {"descriptors": before["descriptors"] + CONNECTIONS}
    await asyncio.gather(*(running.attack(began + seconds) for _ in range(at_once)))

    async def nothing_more() -> bool:
        now = held(scratch, backend.name)
        return all(now[what] <= most[what] for what in most)

    with suppress(AssertionError):  # then it is told
        await eventually(nothing_more, within_s=GONE_WITHIN_S)
    after = held(scratch, backend.name)
    tell(
        f"{backend.name}, seed {seed}, {time.monotonic() - began:.0f} s: {running.sessions} sandboxes, "
        f"{sum(running.ends.values())} attacks, ends {dict(running.ends)}"
    )
    tell(f"held before {before}, after {after}")
    for each in running.wrong:
        tell(f"WRONG {each[:500]}")
    return not running.wrong and all(after[what] <= most[what] for what in most)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.chaos.attacks", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="bwrap")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    kind: Preference = given.kind
    with tempfile.TemporaryDirectory(prefix="threadmill-attacks-") as folder:
        backend = choose_backend(kind, limits=LIMITS, scratch=Path(folder), image=IMAGE, runtime=None)
        assert not isinstance(backend, Unavailable)
        well = asyncio.run(soak(backend, Path(folder), given.seconds, given.at_once, given.seed))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
