"""``make bench``: measure one stack on this machine, print the tables, and add them to RESULTS.md."""

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from deploy.local.program import Output
from deploy.local.programs import BROKER, Model
from deploy.local.stack import Options, Stack
from tests.bench import report
from tests.bench.series import PROCESSES, Bench
from tests.processes import free_port, listening

RUNS = {1: 100, 16: 240, 64: 320}  # clients at once -> runs
WITHOUT_BROKER = [name for name in PROCESSES if name != BROKER]


async def bench(folder: Path, output: Output, scale: float, kafka: str | None) -> AsyncGenerator[str, None]:
    """Yield the report, piece by piece: on the embedded broker, then on ``kafka``, if there is one."""
    yield report.heading() + "\n"
    port = free_port()
    command = (sys.executable, "-m", "tests.bench.fake_model", "--port", str(port))
    with listening(command, port, folder / "model.log") as model:
        url = f"http://127.0.0.1:{port}/v1"
        options = Options(data=folder / "data", model=Model(url=url), log_level="warning")
        turns = []
        for _ in range(2):
            began = time.perf_counter()
            async with Stack(options, output):
                ready_s = time.perf_counter() - began
                began = time.perf_counter()
            turns.append((ready_s, time.perf_counter() - began))
        yield report.table(
            ["the whole stack", "first", "second"],
            [["ready after s", *(up for up, _ in turns)], ["stopped after s", *(down for _, down in turns)]],
        )
        async with Stack(options, output) as stack, Bench(stack, url, model.pid) as measured:
            idle = measured.resident_mb()
            async for part in series(measured, scale, PROCESSES):
                yield "\n" + part
            full = measured.resident_mb()
            lines = [["idle", *idle.values()], ["after all this", *full.values()]]
            yield "\n" + report.table(["resident memory, MB", *PROCESSES, "model"], lines)
        if kafka:
            yield "\nThe same on Kafka, whose process is not looked at:\n"
            other = replace(options, data=folder / "beside-kafka", kafka=kafka)
            async with (
                Stack(other, output) as stack,
                Bench(stack, url, model.pid, WITHOUT_BROKER) as measured,
            ):
                async for part in series(measured, scale, WITHOUT_BROKER):
                    yield "\n" + part


async def series(measured: Bench, scale: float, names: Sequence[str]) -> AsyncGenerator[str, None]:
    cpu = [f"CPU {name}" for name in (*names, "model", "all")]
    columns = ["series (times in ms)", "p50 / p95", "per s", *cpu]
    lines: list[list[object]] = []
    for at_once, runs in RUNS.items():
        count = int(runs * scale)
        direct = await measured.model_calls(count, at_once)
        plain = await measured.plain_runs(count, at_once)
        lines.append([f"model alone, {at_once} at once", *report.cells(direct)])
        lines.append([f"plain run, {at_once} at once", *report.cells(plain)])
    few = int(RUNS[1] * scale)
    polled = await measured.polled_runs(few, 1)
    lines.append(["plain run, 1 at once, polled each 2 ms", *report.cells(polled)])
    threads = await measured.thread_creations(few)
    lines.append(["POST /threads with a message", *report.cells(threads)])
    created = await measured.run_creations(few)
    hop, tool = await measured.tool_runs(few)
    lines.append(["run with one code call (1+1)", *report.cells(tool)])
    yield report.table(columns, lines)

    streamed, direct_first = await measured.first_tokens(few)
    first_hop, first_whole = await measured.first_tool_runs(max(10, few // 5))
    rows: list[list[object]] = [
        ["POST /runs alone", created.latency],
        ["first token, streamed run", streamed],
        ["first token, model alone", direct_first],
        ["tool hop: request published to result accepted", hop],
        ["the same, first code of a thread", first_hop],
        ["the whole run, first code of a thread", first_whole],
    ]
    yield report.table(["latency", "p50 / p95 ms"], rows)
    counted = [
        ["POST /threads with a message", *report.asked(threads.commands)],
        ["the same and a plain run", *report.asked(created.commands)],
        ["run with one code call, without the thread", *report.asked(tool.commands)],
    ]
    yield report.table(["commands to the store", "writes", "reads"], counted)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of runs in each series")
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--kafka", metavar="ADDRESS", help="measure on this broker, too")
    arguments = parser.parse_args()
    said = []
    with tempfile.TemporaryDirectory() as folder:
        output = _log_to(Path(folder) / "stack.log")
        async for part in bench(Path(folder), output, arguments.scale, arguments.kafka):
            sys.stdout.write(part)
            sys.stdout.flush()
            said.append(part)
    if not arguments.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + "".join(said))


def _log_to(path: Path) -> Output:
    def write(name: str, line: str) -> None:
        with path.open("a") as file:
            file.write(f"{name}: {line}\n")

    return write


if __name__ == "__main__":
    uvloop.run(main())
