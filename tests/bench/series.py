"""The measurements: what is done, by how many clients, and when it counts as done."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self, TypeAlias

from deploy.local.stack import Stack
from shared import topics
from shared.stores.database import connect
from tests.bench import processes, store
from tests.bench.client import Client
from tests.bench.feed import COMPLETED, REQUESTED, STEP_COMPLETED, Feed
from tests.bench.spread import Load, Spread

Operation: TypeAlias = Callable[[Client], Awaitable[float]]  # one thing done by one client -> seconds

PROCESSES = ("gateway", "run_orchestrator", "tool_code", "broker", "store")
QUESTION = {"role": "user", "content": "Say something."}
CHAT = {"model": "bench", "messages": [QUESTION], "stream": True, "stream_options": {"include_usage": True}}
WARM_UP = 5  # operations of each client, not counted
POLL_S = 0.002
SETTLE_S = 0.2  # what is written behind the last run belongs to it


class Bench:
    """Measures one running stack whose model is ``model_url``, a process of its own.

    A run is done when its completed event arrives on Kafka: no polling distorts that. ``names``: the
    stack's processes that are looked at.
    """

    def __init__(
        self, stack: Stack, model_url: str, model_pid: int, names: Sequence[str] = PROCESSES
    ) -> None:
        self._stack = stack
        self._model_url = model_url
        self._pids = {name: stack.pid(name) for name in names} | {"model": model_pid}
        self._db = connect(stack.mongo_url, "threadmill")

    async def __aenter__(self) -> Self:
        self._open = AsyncExitStack()
        self._open.callback(self._db.client.close)
        watched = (topics.THREAD_EVENTS, topics.TOOL_REQUESTS_CODE)
        self._feed = await self._open.enter_async_context(Feed(self._stack.kafka_bootstrap, *watched))
        async with self._client() as client:
            plain = await client.post("/assistants", {"model": "bench"})
            tools = [{"type": "code_interpreter"}]
            coder = await client.post("/assistants", {"model": "bench", "tools": tools})
        self._plain, self._coder = str(plain["id"]), str(coder["id"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def resident_mb(self) -> dict[str, float]:
        return {name: processes.resident_mb(pid) for name, pid in self._pids.items()}

    async def plain_runs(self, count: int, at_once: int) -> Load:
        return await self._load(self._plain_run, self._client, count, at_once)

    async def polled_runs(self, count: int, at_once: int) -> Load:
        return await self._load(self._polled_run, self._client, count, at_once)

    async def model_calls(self, count: int, at_once: int) -> Load:
        return await self._load(self._model_call, self._model_client, count, at_once)

    async def run_creations(self, count: int) -> Load:
        return await self._load(self._run_creation, self._client, count, 1)

    async def thread_creations(self, count: int) -> Load:
        return await self._load(self._thread_creation, self._client, count, 1)

    async def first_tokens(self, count: int) -> tuple[Spread, Spread]:
        """Return how long the first token took: in a streamed run, and from the model itself."""
        streamed = await self._load(self._streamed_run, self._client, count, 1)
        direct = await self._load(self._first_token, self._model_client, count, 1)
        return streamed.latency, direct.latency

    async def tool_runs(self, count: int) -> tuple[Spread, Load]:
        """Measure runs with one call of ``1+1`` in a sandbox that is there: the hop, and the whole."""
        async with self._client() as client:
            thread_id = await self._thread(client)
        hops: list[float] = []

        async def run(client: Client) -> float:
            hop, whole = await self._tool_run(client, thread_id)
            hops.append(hop)
            return whole

        load = await self._load(run, self._client, count, 1)
        return Spread.of(hops[WARM_UP:]), load

    async def first_tool_runs(self, count: int) -> tuple[Spread, Spread]:
        """Measure the same for the first code of a thread."""
        async with self._client() as client:
            found = [await self._tool_run(client, await self._thread(client)) for _ in range(count)]
        return Spread.of([hop for hop, _ in found]), Spread.of([whole for _, whole in found])

    def _client(self) -> Client:
        return Client(self._stack.base_url, self._stack.api_key)

    def _model_client(self) -> Client:
        return Client(self._model_url, "none")

    async def _load(
        self, operation: Operation, connect: Callable[[], Client], count: int, at_once: int
    ) -> Load:
        latencies: list[float] = []
        left = iter(range(count))

        async def work(client: Client) -> None:
            latencies.extend([await operation(client) for _ in left])

        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connect()) for _ in range(at_once)]
            for _ in range(WARM_UP):
                await asyncio.gather(*map(operation, clients))
            await asyncio.sleep(SETTLE_S)
            asked, spent = await store.commands(self._db), self._cpu_s()
            began = time.perf_counter()
            await asyncio.gather(*map(work, clients))
            took_s = time.perf_counter() - began
            await asyncio.sleep(SETTLE_S)
            cpu_ms = {name: (now - spent[name]) * 1000 / count for name, now in self._cpu_s().items()}
            now_asked = await store.commands(self._db)
        commands = {name: (now - asked[name]) / count for name, now in now_asked.items()}
        return Load(Spread.of(latencies), count / took_s, cpu_ms, commands)

    def _cpu_s(self) -> dict[str, float]:
        return {name: processes.cpu_s(pid) for name, pid in self._pids.items()}

    async def _thread(self, client: Client) -> str:
        thread = await client.post("/threads", {"messages": [QUESTION]})
        return str(thread["id"])

    async def _create(self, client: Client, thread_id: str, assistant_id: str) -> str:
        run = await client.post(f"/threads/{thread_id}/runs", {"assistant_id": assistant_id})
        return str(run["id"])

    async def _status(self, client: Client, thread_id: str, run_id: str) -> str:
        return str((await client.get(f"/threads/{thread_id}/runs/{run_id}"))["status"])

    async def _thread_creation(self, client: Client) -> float:
        began = time.perf_counter()
        await self._thread(client)
        return time.perf_counter() - began

    async def _plain_run(self, client: Client) -> float:
        thread_id = await self._thread(client)
        began = time.perf_counter()
        run_id = await self._create(client, thread_id, self._plain)
        return await self._feed.came(run_id, COMPLETED) - began

    async def _polled_run(self, client: Client) -> float:
        thread_id = await self._thread(client)
        began = time.perf_counter()
        run_id = await self._create(client, thread_id, self._plain)
        while await self._status(client, thread_id, run_id) != "completed":  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        return time.perf_counter() - began

    async def _run_creation(self, client: Client) -> float:
        thread_id = await self._thread(client)
        began = time.perf_counter()
        run_id = await self._create(client, thread_id, self._plain)
        took_s = time.perf_counter() - began
        await self._feed.came(run_id, COMPLETED)
        return took_s

    async def _streamed_run(self, client: Client) -> float:
        thread_id = await self._thread(client)
        body = {"assistant_id": self._plain, "stream": True}
        return await _first(client, f"/threads/{thread_id}/runs", body, b"event: thread.message.delta")

    async def _tool_run(self, client: Client, thread_id: str) -> tuple[float, float]:
        began = time.perf_counter()
        run_id = await self._create(client, thread_id, self._coder)
        ended = await self._feed.came(run_id, COMPLETED)
        requested = await self._feed.came(run_id, REQUESTED)
        accepted = await self._feed.came(run_id, STEP_COMPLETED)
        return accepted - requested, ended - began

    async def _model_call(self, client: Client) -> float:
        began = time.perf_counter()
        async for _ in client.events("/chat/completions", CHAT):
            pass
        return time.perf_counter() - began

    async def _first_token(self, client: Client) -> float:
        return await _first(client, "/chat/completions", CHAT, b"data:")


async def _first(client: Client, path: str, body: Any, start: bytes) -> float:
    """Return when the first event that begins with ``start`` came; read the others too."""
    began = time.perf_counter()
    came_after_s = 0.0
    async for event in client.events(path, body):
        if not came_after_s and event.startswith(start):
            came_after_s = time.perf_counter() - began
    return came_after_s
