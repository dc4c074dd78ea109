"""``python -m tests.bench.scaling``: one, two and four workers of a kind.

With work that waits and does not compute (code that sleeps for a second, a model that takes two), so that a
machine of two cores says something.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer

from deploy.local.programs import Model
from deploy.local.stack import Options, Stack
from shared.events import CodeRequested, ToolResult
from shared.ids import new_id
from shared.publisher import Publisher
from shared.settings import ServiceSettings
from shared.topics import TOOL_REQUESTS_CODE, TOOL_RESULTS
from tests.bench import report
from tests.bench.series import Bench
from tests.eventually import eventually
from tests.processes import free_port, listening

WORKERS = (1, 2, 4)
AT_ONCE = 4  # calls or turns of one worker
CODE = "import time; time.sleep(1)"
MODEL_S = 2.0
DEADLINE_S = 600.0
SETTLE_ROUNDS = 6
FIRST, LAST = 0.1, 0.8  # the part of the answers that counts: all workers are busy then


class Callers:
    """Asks tool_code as an orchestrator would, and hears its answers."""

    def __init__(self, publisher: Publisher, consumer: AIOKafkaConsumer) -> None:
        self._publisher = publisher
        self._consumer = consumer
        self.told: list[str] = []  # what the calls had to say

    async def settle(self, threads: Sequence[str]) -> None:
        """Until each thread has its sandbox at the worker that keeps it: the group may still be dividing."""
        for _ in range(SETTLE_ROUNDS):
            self.told.clear()
            await self.ask(threads, "x = 1")
            if not self.told:
                return
        raise AssertionError(f"the workers do not come to rest: {self.told}")

    async def ask(self, threads: Iterable[str], code: str) -> list[float]:
        """One call in each thread; return when each answer came, in order."""
        waited = set()
        for thread in threads:
            request = _request(thread, code)
            waited.add(request.call_id)
            await eventually(partial(self._publisher.request, TOOL_REQUESTS_CODE, thread, request))
        came = []
        async with asyncio.timeout(DEADLINE_S):
            while waited:
                record = await self._consumer.getone()
                result = ToolResult.model_validate_json(record.value)
                if result.call_id in waited:
                    if result.output:
                        self.told.append(result.output)
                    waited.remove(result.call_id)
                    came.append(time.perf_counter())
        return came


def _request(thread: str, code: str) -> CodeRequested:
    return CodeRequested(
        call_id=new_id("call"),
        run_id=thread,
        thread_id=thread,
        project_id="p",
        code=code,
        token="t",
        deadline=time.time() + DEADLINE_S,
    )


@asynccontextmanager
async def calling(kafka: str) -> AsyncGenerator[Callers, None]:
    settings = ServiceSettings(kafka_bootstrap=kafka)
    topic = settings.topic_prefix + TOOL_RESULTS.name
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="latest")
    async with Publisher(settings, client_id="bench") as publisher:
        await consumer.start()
        try:
            await consumer.seek_to_end()
            yield Callers(publisher, consumer)
        finally:
            await consumer.stop()


async def code_calls(folder: Path, workers: int, rounds: int) -> float:
    """Calls a second: each thread has its sandbox before the clock starts."""
    env = {"THREADMILL_CONCURRENT_CALLS": str(AT_ONCE), "THREADMILL_WARM_SANDBOXES": "0"}
    options = Options(data=folder, services=copies("tool_code", workers), log_level="warning", env=env)
    threads = [new_id("thread") for _ in range(4 * AT_ONCE * workers)]
    async with Stack(options, _silent) as stack, calling(stack.kafka_bootstrap) as callers:
        await callers.settle(threads)
        came = await callers.ask(threads * rounds, CODE)
        if callers.told:  # a worker was silent for too long: its threads began anew at another one
            sys.stdout.write(f"{workers} workers: {len(callers.told)} calls were moved to a new sandbox\n")
        return rate(came)


async def model_turns(folder: Path, workers: int, rounds: int) -> float:
    """Runs a second, from the request until the record of their end."""
    port = free_port()
    command = (sys.executable, "-m", "tests.bench.fake_model", "--port", str(port), "--delay-s", str(MODEL_S))
    with listening(command, port, folder.with_suffix(".model.log")) as model:
        url = f"http://127.0.0.1:{port}/v1"
        options = Options(
            data=folder,
            services=("gateway", "tool_code", *copies("run_orchestrator", workers)),
            model=Model(url=url),
            log_level="warning",
            env={"THREADMILL_CONCURRENT_TURNS": str(AT_ONCE), "THREADMILL_WARM_SANDBOXES": "0"},
        )
        async with Stack(options, _silent) as stack, Bench(stack, url, model.pid) as bench:
            at_once = 2 * AT_ONCE * workers
            return (await bench.plain_runs(rounds * at_once, at_once)).per_s


def copies(name: str, count: int) -> tuple[str, ...]:
    return (name, *(f"{name}-{number}" for number in range(2, count + 1)))


def rate(came: Sequence[float]) -> float:
    first, last = int(len(came) * FIRST), int(len(came) * LAST)
    return (last - first) / (came[last] - came[first])


def _silent(name: str, line: str) -> None:
    """The logs say nothing here."""


async def tables(rounds: int) -> AsyncGenerator[str, None]:
    for what, measure, work_s in (
        ("tool_code, code that sleeps 1 s: calls a second", code_calls, 1.0),
        ("run_orchestrator, a model that takes 2 s: runs a second", model_turns, MODEL_S),
    ):
        lines: list[list[object]] = []
        alone = 0.0
        for workers in WORKERS:
            with tempfile.TemporaryDirectory() as folder:
                per_s = await measure(Path(folder) / "data", workers, rounds)
            alone = alone or per_s
            most = workers * AT_ONCE / work_s
            lines.append([workers, *(f"{each:.2f}" for each in (per_s, most, per_s / alone / workers))])
        yield report.table([what, "per s", "at most", "of linear"], lines)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="pieces of work for each that waits")
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    said = [report.heading() + f"\nEach worker takes {AT_ONCE} at once.\n"]
    async for part in tables(given.rounds):
        sys.stdout.write("\n" + part)
        sys.stdout.flush()
        said.append("\n" + part)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + "".join(said))


if __name__ == "__main__":
    uvloop.run(main())
