"""``python -m tests.bench.library FOLDER``: tool_retrieval as users get it, in a stack of its own.

How soon a worker is ready, how long a PDF of many pages takes in each stage, what that holds in memory, and
what a call of ``file_search`` costs beside the search itself. FOLDER is a judged collection: its texts
fill the PDF.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import httpx
import uvloop

from deploy.local.programs import Model
from deploy.local.stack import Options, Stack
from shared import topics
from shared.stores.database import connect
from tests.bench import processes, report
from tests.bench.client import Client
from tests.bench.collection import load
from tests.bench.feed import COMPLETED, REQUESTED, STEP_COMPLETED, Feed
from tests.bench.spread import Spread
from tests.processes import free_port, listening
from tests.unit.sample_documents import pdf

WORKER = "tool_retrieval"
SERVICES = ("gateway", "run_orchestrator", WORKER)
STARTS = 3
LINES, COLUMNS = 46, 78  # of a page
WARM_UP = 5
LOOK_EVERY_S = 0.1
DEADLINE_S = 1800.0
SPENT = re.compile(r'^threadmill_tool_call_seconds_sum\{tool="file_search"\} (\S+)', re.MULTILINE)


class Library:
    """Measures the one worker of a running stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def starts(self) -> list[object]:
        """Seconds from its start until it is ready, median, with all else running."""
        took = []
        for _ in range(STARTS):
            await self._stack.stop(WORKER)
            began = time.perf_counter()
            await self._stack.start(WORKER)
            took.append(time.perf_counter() - began)
        return [f"ready after s, median of {STARTS}", f"{median(took):.2f}"]

    def resident(self, when: str) -> list[object]:
        return [f"resident MB, {when}", self._resident_mb()]

    async def take_in(self, client: Client, content: bytes) -> tuple[str, list[list[object]]]:
        """Return the vector store of a file, and what taking it in took."""
        async with httpx.AsyncClient(timeout=60) as uploads:
            key = {"Authorization": f"Bearer {self._stack.api_key}"}
            answer = await uploads.post(
                f"{self._stack.base_url}/files",
                headers=key,
                data={"purpose": "assistants"},
                files={"file": ("book.pdf", content)},
            )
            file_id = answer.raise_for_status().json()["id"]
        cpu, began, most_mb = self._cpu_s(), time.perf_counter(), 0.0
        store = str((await client.post("/vector_stores", {"file_ids": [file_id]}))["id"])
        async with asyncio.timeout(DEADLINE_S):
            while (await client.get(f"/vector_stores/{store}"))["status"] != "completed":
                most_mb = max(most_mb, self._resident_mb())
                await asyncio.sleep(LOOK_EVERY_S)
        whole_s, cpu_s = time.perf_counter() - began, self._cpu_s() - cpu
        db = connect(self._stack.mongo_url, "threadmill")
        try:
            file = await db["vector_store_files"].find_one({"vector_store_id": store})
        finally:
            db.client.close()
        assert file is not None
        stages = ", ".join(f"{name} {took_s:.2f}" for name, took_s in file["stages"].items())
        return store, [
            ["tokens", f"{file['tokens']:,}"],
            ["taken in after s", whole_s],
            ["of it, s", stages],
            ["tokens a CPU second", file["tokens"] / cpu_s],
            ["resident MB meanwhile, at most", most_mb],
        ]

    async def searches(self, client: Client, store: str, count: int) -> list[list[object]]:
        """What a call of file_search takes in a run, and how much of it is the search."""
        tools = [{"type": "file_search"}]
        resources = {"file_search": {"vector_store_ids": [store]}}
        body = {"model": "bench", "tools": tools, "tool_resources": resources}
        assistant = str((await client.post("/assistants", body))["id"])
        watched = (topics.THREAD_EVENTS, topics.TOOL_REQUESTS_RETRIEVAL)
        hops, worked = [], []
        async with Feed(self._stack.kafka_bootstrap, *watched) as feed:
            for _ in range(WARM_UP + count):
                spent = await self._spent_s()
                message = {"role": "user", "content": "What do cells do?"}
                thread = (await client.post("/threads", {"messages": [message]}))["id"]
                run = (await client.post(f"/threads/{thread}/runs", {"assistant_id": assistant}))["id"]
                await feed.came(run, COMPLETED)
                requested = await feed.came(run, REQUESTED)
                hops.append(await feed.came(run, STEP_COMPLETED) - requested)
                worked.append(await self._spent_s() - spent)
        hops, worked = hops[WARM_UP:], worked[WARM_UP:]
        rest = [hop - work for hop, work in zip(hops, worked, strict=True)]
        return [
            ["request published to result accepted", Spread.of(hops)],
            ["of it the search and keeping its results", Spread.of(worked)],
            ["the hop without them", Spread.of(rest)],
        ]

    async def _spent_s(self) -> float:
        async with httpx.AsyncClient() as client:
            said = (await client.get(f"{self._stack.url(WORKER)}/metrics")).text
        found = SPENT.search(said)
        return float(found[1]) if found else 0.0

    def _resident_mb(self) -> float:
        return processes.resident_mb(self._stack.pid(WORKER))

    def _cpu_s(self) -> float:
        return processes.cpu_s(self._stack.pid(WORKER))


def book(texts: Sequence[str], pages: int) -> bytes:
    """A PDF of so many pages full of text."""
    lines = _lines(texts)
    return pdf(["\n".join(next(lines) for _ in range(LINES)) for _ in range(pages)])


def _lines(texts: Sequence[str]) -> Iterator[str]:
    while True:
        for text in texts:
            yield from textwrap.wrap(text.encode("ascii", "ignore").decode(), COLUMNS)


async def bench(folder: Path, scratch: Path, pages: int, count: int) -> str:
    said = [report.heading()]
    texts = list(load(folder).texts.values())
    async with AsyncExitStack() as open_now:
        port = free_port()
        command = (sys.executable, "-m", "tests.bench.fake_model", "--port", str(port))
        open_now.enter_context(listening(command, port, scratch / "model.log"))
        options = Options(
            data=scratch / "data",
            services=SERVICES,
            model=Model(url=f"http://127.0.0.1:{port}/v1"),
            log_level="warning",
            ready_within_s=180.0,
        )
        stack = await open_now.enter_async_context(Stack(options, lambda name, line: None))
        client = await open_now.enter_async_context(Client(stack.base_url, stack.api_key))
        library = Library(stack)
        lines = [await library.starts(), library.resident("before anything was asked of it")]
        store, taken = await library.take_in(client, await asyncio.to_thread(book, texts, pages))
        searches = await library.searches(client, store, count)
        lines += [*taken, library.resident("at the end")]
        said.append(report.table([f"one worker, a PDF of {pages} pages", ""], lines))
        calls = f"{count} calls of file_search, one after the other"
        said.append(report.table([calls, "p50 / p95 ms"], searches))
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.library", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=307)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        said = uvloop.run(bench(given.folder, Path(scratch), given.pages, given.calls))
    sys.stdout.write(said)
    if not given.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    main()
