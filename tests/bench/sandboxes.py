"""``python -m tests.bench.sandboxes``: what a sandbox costs, for each kind that this machine can run."""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles

import uvloop

from deploy.local.stack import Options, Stack
from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import Preference, Unavailable, choose_backend
from services.tool_code.sandbox.docker import DRIVER_ROOT
from services.tool_code.sandbox.errors import SandboxUnavailable
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.pool import Pool
from services.tool_code.sandbox.session import Session
from shared.ids import new_id
from shared.tasks import in_background
from tests.bench import report
from tests.bench.public import LIBRARY, public_library
from tests.bench.scaling import calling
from tests.bench.spread import Spread
from tests.eventually import eventually

KINDS: tuple[Preference, ...] = ("docker", "bwrap", "landlock")
IMAGE = "threadmill/sandbox"
PATIENT_S = 60.0
PANDAS = "import pandas as p; p.DataFrame({'x': range(100)}).describe()"
PICTURE = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"


async def run(session: Session, code: str) -> None:
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert execution.status == "ok", execution


async def latencies(act: Callable[[], Awaitable[object]], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        took.append(time.perf_counter() - began)
    return took


async def timed(act: Callable[[], Awaitable[object]], times: int) -> Spread:
    return Spread.of(await latencies(act, times))


async def cold(backend: Backend, times: int) -> Spread:
    """A sandbox that nobody started ahead, until it has answered."""
    sessions: list[Session] = []

    async def begin() -> None:
        sessions.append(await backend.start("bench"))
        await run(sessions[-1], "1+1")

    spread = await timed(begin, times)
    for session in sessions:
        await session.close()
    return spread


async def claimed(backend: Backend, code: str, times: int) -> Spread:
    """A warm one, from the claim until it has answered."""
    pool, took = Pool(backend, 1), []

    async def ready() -> bool:
        return pool.ready > 0

    async with in_background(pool.run()):
        for _ in range(times):
            await eventually(ready, within_s=PATIENT_S)
            began = time.perf_counter()
            session = await pool.start("bench")
            await run(session, code)
            took.append(time.perf_counter() - began)
            await session.close()
    for warm in pool.warm:
        await warm.close()
    return Spread.of(took)


async def once(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1000


async def rows(backend: Backend, times: int, mark: str) -> list[list[object]]:
    session = await backend.start("bench")
    await run(session, "1+1")
    many = await latencies(lambda: run(session, "1+1"), 50 * times)
    told: list[list[object]] = [
        ["`1+1` in a session", Spread.of(many)],
        ["the same, p99", quantiles(many, n=100)[-1] * 1000],
        ["import pandas, describe", await once(lambda: run(session, PANDAS))],
        ["first picture", await once(lambda: run(session, PICTURE))],
        ["next picture", await timed(lambda: run(session, PICTURE), times)],
        ["reset", await timed(session.reset, times)],
        ["20 MiB in", await timed(lambda: session.put("a", b"x" * (20 << 20)), 3)],
    ]
    await session.close()
    idle = await idle_mb(backend, 5, mark)
    return [
        *told,
        ["cold start until `1+1`", await cold(backend, times)],
        ["warm claim until `1+1`", await claimed(backend, "1+1", times)],
        ["warm claim until pandas", await claimed(backend, PANDAS, times)],
        ["warm claim until a picture", await claimed(backend, PICTURE, times)],
        ["memory of an idle session after pandas, MB", idle],
        ["such sessions in a GiB", 1024 / idle if idle else "-"],
    ]


async def idle_mb(backend: Backend, count: int, mark: str) -> float:
    """Memory of an idle session after it has used pandas; pages that processes share are divided."""
    sessions = [await backend.start(f"bench-{n}") for n in range(count)]
    for session in sessions:
        await run(session, PANDAS)
    used = _shares_mb(mark) / count
    for session in sessions:
        await session.close()
    return used


def _shares_mb(mark: str) -> float:
    """Of all processes whose command line names ``mark``. Only root may look at other users' processes."""
    kib = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    shares = dict(line.split(":") for line in _lines(entry / "smaps_rollup"))
                    kib += int(shares["Pss"].split()[0])
    return kib / 1024


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("Pss:")]


@contextmanager
def started(kind: Preference, scratch: Path) -> Iterator[Backend | str]:
    """The backend, or why it does not work here."""
    try:
        found = choose_backend(kind, limits=Limits(), scratch=scratch, image=IMAGE, runtime=None)
    except SandboxUnavailable as missing:
        yield str(missing)
        return
    assert not isinstance(found, Unavailable)
    yield found


async def through_kafka(folder: Path, kind: Preference, times: int) -> Spread:
    """A request on one topic, its result on the other, for a thread whose sandbox is there."""
    env = {"THREADMILL_WARM_SANDBOXES": "0"}
    options = Options(data=folder, services=("tool_code",), sandbox=kind, log_level="warning", env=env)
    thread = new_id("thread")
    async with Stack(options, lambda *_: None) as stack, calling(stack.kafka_bootstrap) as callers:
        await callers.settle([thread])
        return await timed(lambda: callers.ask([thread], "1+1"), 10 * times)


def docker_exec(times: int) -> Spread | None:
    """The same through ``docker exec`` for each call: what many do instead."""
    if shutil.which("docker") is None:
        return None
    command = ["docker", "run", "-d", "--rm", "--network=none", IMAGE, "sleep", "300"]
    began = subprocess.run(command, capture_output=True, text=True)
    if began.returncode:
        return None
    container, took = began.stdout.strip(), []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(
            ["docker", "exec", container, "/opt/venv/bin/python", "-c", "print(1+1)"],
            check=True,
            capture_output=True,
        )
        took.append(time.perf_counter() - start)
    subprocess.run(["docker", "kill", container], capture_output=True)
    return Spread.of(took)


def beside(times: int, *, public: bool) -> Iterator[list[object]]:
    if spread := docker_exec(times):
        yield ["`docker exec` for each call", spread]
    if public:
        measured = public_library(IMAGE, times)
        yield [
            f"`{LIBRARY}`, a session kept open",
            f"not measured: {measured}" if isinstance(measured, str) else measured,
        ]


def tables(times: int, *, public: bool) -> Iterator[str]:
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, started(kind, Path(folder)) as backend:
            if isinstance(backend, str):
                yield f"{kind} was not measured: {backend}\n"
            else:
                mark = DRIVER_ROOT if kind == "docker" else folder
                lines = asyncio.run(rows(backend, times, mark))
                hop = uvloop.run(through_kafka(Path(folder) / "data", kind, times))
                lines.append(["`1+1`: from Kafka to Kafka", hop])
                yield report.table([f"{kind}: {backend.description}", "p50 / p95 ms"], lines)
    if lines := list(beside(times, public=public)):
        yield report.table(["`1+1` beside it", "p50 / p95 ms"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.sandboxes", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often each thing is done")
    parser.add_argument("--public", action="store_true", help=f"also {LIBRARY}, installed for the moment")
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    said = "\n".join([report.heading(), *tables(given.times, public=given.public)])
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
