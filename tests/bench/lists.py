"""``python -m tests.bench.lists``: a page of a long thread; messages and runs by many clients at once."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

import uvloop

from deploy.local.programs import GATEWAY, Model
from deploy.local.stack import Options, Stack
from shared.stores.database import connect
from tests.bench import report
from tests.bench.client import Client
from tests.bench.spread import Spread

AT_ONCE = 64
BATCH = 2_000
PAGES = 20
MESSAGE = {"role": "user", "content": "Hello."}


async def lengthen(stack: Stack, thread: str, count: int) -> float:
    """Insert copies of the thread's one message behind it; return the seconds that took."""
    db = connect(stack.mongo_url, "threadmill")
    like = await db["messages"].find_one({"thread_id": thread})
    assert like is not None
    like.pop("unpublished", None)
    began = time.perf_counter()
    for first in range(2, count + 1, BATCH):
        numbers = range(first, min(first + BATCH, count + 1))
        await db["messages"].insert_many([{**like, "_id": f"msg_long{n}", "seq": n} for n in numbers])
    db.client.close()
    return time.perf_counter() - began


async def timed(
    stack: Stack, act: Callable[[Client, int], Awaitable[object]], each: int, at_once: int
) -> tuple[Spread, float, float]:
    """Let every client do it ``each`` times, after one that is not counted; also the 99th of a hundred
    latencies in milliseconds, and how many a second."""
    took: list[float] = []

    async def many(client: Client, number: int) -> None:
        for _ in range(each):
            began = time.perf_counter()
            await act(client, number)
            took.append(time.perf_counter() - began)

    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(Client(stack.base_url, stack.api_key)) for _ in range(at_once)
        ]
        await asyncio.gather(*(act(client, number) for number, client in enumerate(clients)))
        began = time.perf_counter()
        await asyncio.gather(*(many(client, number) for number, client in enumerate(clients)))
        rate = len(took) / (time.perf_counter() - began)
        return Spread.of(took), quantiles(took, n=100)[-1] * 1000, rate


async def bench(stack: Stack, count: int) -> str:
    lines: list[list[object]] = []
    async with Client(stack.base_url, stack.api_key) as client:
        threads = [
            str((await client.post("/threads", {"messages": [MESSAGE]}))["id"]) for _ in range(AT_ONCE)
        ]
        assistant = (await client.post("/assistants", {"model": "bench", "instructions": "i"}))["id"]
        runs = [
            str((await client.post(f"/threads/{thread}/runs", {"assistant_id": assistant}))["id"])
            for thread in threads
        ]
        fresh = [str((await client.post("/threads", {}))["id"]) for _ in range(AT_ONCE)]
        long = str((await client.post("/threads", {"messages": [MESSAGE]}))["id"])
    posted = await timed(stack, lambda c, n: c.post(f"/threads/{fresh[n]}/messages", MESSAGE), 4, AT_ONCE)
    lines.append([f"POST message, {AT_ONCE} at once, a thread each", *posted])
    read = await timed(stack, lambda c, n: c.get(f"/threads/{threads[n]}/runs/{runs[n]}"), 20, AT_ONCE)
    lines.append([f"GET run, {AT_ONCE} at once", *read])
    short = await timed(stack, lambda c, _: c.get(f"/threads/{long}/messages?limit=20"), PAGES, 1)
    lines.append(["list 20 of a thread with 1 message", *short])
    inserting_s = await lengthen(stack, long, count)
    page = await timed(stack, lambda c, _: c.get(f"/threads/{long}/messages?limit=20"), PAGES, 1)
    lines.append([f"list 20 of a thread with {count:,} messages", *page])
    middle = f"/threads/{long}/messages?limit=20&after=msg_long{count // 2}"
    lines.append(
        ["the same, after the one in the middle", *await timed(stack, lambda c, _: c.get(middle), PAGES, 1)]
    )
    columns = ["the gateway and the embedded store alone", "p50 / p95 ms", "p99 ms", "per s"]
    table = report.table(columns, lines)
    return f"{report.heading()}\n{table}\nInserting the {count:,} messages took {inserting_s:.0f} s.\n"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.lists", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--no-save", action="store_true", help="print only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            data=Path(folder),
            services=(GATEWAY,),
            model=Model(url="http://127.0.0.1:9/v1"),
            log_level="warning",
        )
        async with Stack(options, lambda name, line: None) as stack:
            said = await bench(stack, arguments.messages)
    sys.stdout.write(said)
    if not arguments.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    uvloop.run(main())
