"""``python -m tests.bench.reliability``: how soon runs go on when something dies, and many at once.

With the settings of production. What a run and a tool call write is counted by ``make bench``.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from tests.bench import report
from tests.chaos.collecting import records_of
from tests.chaos.lab import PARTITIONS, Lab, laboratory
from tests.eventually import eventually

SECOND = "run_orchestrator-2"
LOOK_EVERY_S = 0.05
TAKEN_OVER_WITHIN_S = 40.0
PATIENCE_S = 300.0
DONE = "event: done\ndata: [DONE]\n\n"
PRODUCTION = {
    "THREADMILL_LEASE_S": "15",
    "THREADMILL_HEARTBEAT_S": "5",
    "THREADMILL_SWEEP_S": "2",
    "THREADMILL_KAFKA_SESSION_S": "10",
    "THREADMILL_MODEL_SILENCE_S": "120",
    "THREADMILL_RUN_EXPIRY_S": "600",
}


class Bench:
    def __init__(self, lab: Lab, client: httpx.AsyncClient, db: Any) -> None:
        self._lab, self._client, self._db = lab, client, db

    async def post(self, path: str, body: Any = None) -> Any:
        response = await self._client.post(path, json=body)
        response.raise_for_status()
        return response.json()

    async def begin(self, model: str, count: int) -> list[str]:
        """Begin so many runs, each on a thread of its own; return their ids."""
        assistant = await self.post("/assistants", {"model": model})
        messages = [{"role": "user", "content": "Hello."}]
        threads = await asyncio.gather(*(self.post("/threads", {"messages": messages}) for _ in range(count)))
        body = {"assistant_id": assistant["id"]}
        runs = await asyncio.gather(*(self.post(f"/threads/{each['id']}/runs", body) for each in threads))
        return [run["id"] for run in runs]

    async def found(self, run_ids: Sequence[str]) -> dict[str, Any]:
        shown = dict.fromkeys(("thread_id", "status", "epoch", "phase", "events"), True)
        cursor = self._db["runs"].find({"_id": {"$in": list(run_ids)}}, shown)
        return {run["_id"]: run async for run in cursor}

    async def reach(self, run_ids: Sequence[str], *statuses: str) -> None:
        """Wait until each of them has one of those statuses."""

        async def reached() -> bool:
            return all(run["status"] in statuses for run in (await self.found(run_ids)).values())

        await eventually(reached, within_s=PATIENCE_S)

    async def cancelled(self, run_ids: Sequence[str]) -> list[float]:
        """Cancel them one after the other; return how long each then took to end."""
        took = []
        for run_id, run in (await self.found(run_ids)).items():
            began = time.perf_counter()
            await self.post(f"/threads/{run['thread_id']}/runs/{run_id}/cancel")
            await self.reach([run_id], "cancelled")
            took.append(time.perf_counter() - began)
        return took

    async def taken_over(self, end: Awaitable[object], count: int) -> list[float]:
        """Let a replica of two end while it works; return how long its runs were nobody's."""
        run_ids = await self.begin("slow-2000", count)
        await self.reach(run_ids, "in_progress")
        before = await self.found(run_ids)
        began = time.perf_counter()
        ending = asyncio.ensure_future(end)
        took: dict[str, float] = {}
        while (now_s := time.perf_counter() - began) < TAKEN_OVER_WITHIN_S:
            for run_id, run in (await self.found(run_ids)).items():
                if run["epoch"] > before[run_id]["epoch"] and run["phase"] == "llm":
                    took.setdefault(run_id, now_s)
            await asyncio.sleep(LOOK_EVERY_S)
        await ending
        await self.cancelled(run_ids)
        await self._lab.start("run_orchestrator")
        return list(took.values())

    async def broker_lost(self, count: int) -> float:
        """Let the broker forget everything; return how long it took until it was told all again."""
        run_ids = await self.begin("echo", count)
        await self.reach(run_ids, "completed")
        wanted = {
            f"{run_id}:{event['seq']}"
            for run_id, run in (await self.found(run_ids)).items()
            for event in run["events"]
        }
        await self._lab.kill("broker")
        await self._lab.start("broker")
        began = time.perf_counter()

        async def told() -> bool:
            return wanted <= {record.id async for record in self._feed()}

        await eventually(told, within_s=PATIENCE_S)
        return time.perf_counter() - began

    def _feed(self) -> AsyncIterator[Any]:
        return records_of(self._lab.kafka, f"{self._lab.prefix}thread-events.v1", PARTITIONS)

    async def at_once(self, count: int) -> float:
        """Return how long so many runs took together, on a model that takes 2 s."""
        await self.reach(await self.begin("slow-40", 2), "completed")
        began = time.perf_counter()
        run_ids = await self.begin("slow-40", count)
        await self.reach(run_ids, "completed")
        return time.perf_counter() - began

    async def streamed(self, count: int) -> tuple[float, int]:
        """Return how long so many streams took together, and how many came to their end."""
        assistant = await self.post("/assistants", {"model": "slow-40"})
        messages = [{"role": "user", "content": "Hello."}]
        threads = await asyncio.gather(*(self.post("/threads", {"messages": messages}) for _ in range(count)))
        body = {"assistant_id": assistant["id"], "stream": True}

        async def read(thread_id: str) -> bool:
            said = ""
            async with self._client.stream("POST", f"/threads/{thread_id}/runs", json=body) as response:
                async for part in response.aiter_text():
                    said = (said + part)[-len(DONE) :]
            return said == DONE

        began = time.perf_counter()
        whole = await asyncio.gather(*(read(thread["id"]) for thread in threads))
        return time.perf_counter() - began, sum(whole)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Lab, Bench]]:
    async with laboratory(folder / "data", folder / "log", **PRODUCTION) as lab, lab.db() as db:
        headers = {"Authorization": f"Bearer {lab.stack.api_key}", "OpenAI-Beta": "assistants=v2"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(
            base_url=lab.stack.base_url, headers=headers, timeout=PATIENCE_S, limits=limits
        ) as client:
            yield lab, Bench(lab, client, db)


async def bench(folder: Path, scale: float) -> AsyncIterator[list[object]]:
    """Yield what was measured, a line each."""
    some, many, most = (max(4, int(count * scale)) for count in (20, 200, 500))
    async with opened(folder) as (lab, measured):
        seconds = await measured.at_once(many)
        yield [f"{many} runs at once on a model of 2 s: all are done after", f"{seconds:.1f} s"]
        seconds, whole = await measured.streamed(most)
        yield [f"{most} streams at once of the same: all have ended after", f"{seconds:.1f} s, {whole} whole"]
        run_ids = await measured.begin("slow-2000", some)
        await measured.reach(run_ids, "in_progress")
        yield [f"cancelled, until the run has ended ({some})", spread(await measured.cancelled(run_ids))]
        await lab.start(SECOND)
        took = await measured.taken_over(lab.kill("run_orchestrator"), 2 * some)
        yield [f"an orchestrator killed, until another has its run ({len(took)} of {2 * some})", spread(took)]
        took = await measured.taken_over(lab.stack.stop("run_orchestrator"), 2 * some)
        yield [
            f"an orchestrator stopped, until another has its run ({len(took)} of {2 * some})",
            spread(took),
        ]
        if "broker" not in lab.given:
            seconds = await measured.broker_lost(some)
            yield [f"a broker that forgot all is there, until it has all of {some} runs", f"{seconds:.1f} s"]


def spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    return f"{median(seconds):.2f} / {quantiles(seconds, n=100, method='inclusive')[-1]:.2f} s"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reliability", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of runs")
    parser.add_argument("--no-save", action="store_true", help="print only")
    arguments = parser.parse_args()
    heading = f"{report.heading()}\nWhen something dies, and many at once.\n\n"
    with tempfile.TemporaryDirectory() as folder:
        lines = [line async for line in bench(Path(folder), arguments.scale)]
    said = heading + report.table(["what", "p50 / p99, or the whole"], lines)
    sys.stdout.write(said)
    if not arguments.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    asyncio.run(main())
