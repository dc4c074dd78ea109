"""One process after the other is replaced under load, as a Deployment does it: no client notices."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.beta import AssistantToolParam

from deploy.local.programs import Model
from deploy.local.stack import Stack
from tests.chaos.proxies import HOST, Proxy
from tests.e2e.api import Api
from tests.eventually import eventually
from tests.model_script import Gate, Reply
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(900)

CODE: AssistantToolParam = {"type": "code_interpreter"}
# At most, on a busy machine: what is open here ends by itself, and nobody dies.
PATIENT = {"THREADMILL_DRAIN_S": "60", "THREADMILL_LEASE_S": "60"}
BUSY_S = 150.0


class Clients:
    """Each does one thing again and again, with the official SDK. ``withdrawn`` counts drafts that were."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.answers: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.withdrawn = 0
        self._http = httpx2.AsyncClient(event_hooks={"response": [self._note]}, timeout=60)
        self._sdk = AsyncOpenAI(base_url=base_url, api_key=api_key, http_client=self._http)
        self._walks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        for name, model, walk, *tools in (
            ("plain", "echo", self._poll),
            ("streamed", "slow-30", self._stream),
            ("streamed code", "tool-code", self._stream, CODE),
        ):
            assistant = await self._sdk.beta.assistants.create(model=model, tools=tools)
            self._walks.append(asyncio.create_task(self._again_and_again(walk, assistant.id), name=name))

    async def end(self) -> None:
        for walk in self._walks:
            walk.cancel()
        await asyncio.gather(*self._walks, return_exceptions=True)
        await self._http.aclose()

    async def all_went_on(self) -> None:
        """Wait until every client came to the end of something that it began after now.

        Raises:
            Exception: whatever a client met with.
        """
        before = Counter(self.done)

        async def went_on() -> bool:
            for walk in self._walks:
                if walk.done():
                    await walk
            return all(self.done[walk.get_name()] >= before[walk.get_name()] + 2 for walk in self._walks)

        await eventually(went_on, within_s=BUSY_S)

    async def _again_and_again(self, walk: Callable[[str, str], Awaitable[str]], assistant: str) -> None:
        name = asyncio.current_task().get_name()  # type: ignore[union-attr]
        while True:
            thread = await self._sdk.beta.threads.create(messages=[{"role": "user", "content": "Hello"}])
            assert await walk(thread.id, assistant) == "completed"
            self.done[name] += 1

    async def _poll(self, thread: str, assistant: str) -> str:
        run = await self._sdk.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        return run.status

    async def _stream(self, thread: str, assistant: str) -> str:
        runs = self._sdk.beta.threads.runs
        async with runs.stream(thread_id=thread, assistant_id=assistant) as stream:
            async for event in stream:
                self.withdrawn += event.event == "thread.message.incomplete"
        assert stream.current_run is not None
        return stream.current_run.status

    async def _note(self, response: httpx2.Response) -> None:
        self.answers[response.status_code] += 1


@asynccontextmanager
async def at_work(base_url: str, api_key: str) -> AsyncIterator[Clients]:
    clients = Clients(base_url, api_key)
    try:
        await clients.begin()
        await clients.all_went_on()
        yield clients
    finally:
        await clients.end()


async def test_services_are_replaced_under_load(own_stack: Callable[..., Stack], model: ModelServer) -> None:
    given = Model(url=model.url, api_key="unused")
    async with own_stack(given, **PATIENT) as stack, Proxy() as endpoint:
        endpoint.target = address_of(stack, "gateway")
        async with at_work(f"http://{endpoint.address}/v1", stack.api_key) as clients:
            await asyncio.gather(
                stack.start("run_orchestrator-2", {"THREADMILL_DRAIN_S": "0"}), stack.start("tool_code-2")
            )
            await stack.stop("run_orchestrator")
            await stack.stop("tool_code")
            await clients.all_went_on()

            await asyncio.gather(stack.start("gateway-2"), stack.start("run_orchestrator-3"))
            endpoint.target = address_of(stack, "gateway-2")
            thread_id = await ends_what_is_open(stack, "gateway", model)
            assert repeated(stack, "gateway-2") != thread_id
            await clients.all_went_on()
            assert clients.withdrawn == 0

            await stack.stop("run_orchestrator-2")  # which does not wait for its turns
            await clients.all_went_on()
    assert clients.answers[200] > 0
    assert not {status for status in clients.answers if 400 <= status < 500}, clients.answers


async def ends_what_is_open(stack: Stack, gateway: str, model: ModelServer) -> str:
    """Stop it, and hold it to what it must do before: tell an open stream to its end.

    Return the id of a thread whose making it answered just before it closed the connection.
    """
    name, gate = f"model-{uuid4().hex[:8]}", Gate()
    model.script(Reply(deltas=("to ", "its ", "end"), gate=gate, gate_before=2), model=name)
    with Api(f"{stack.url(gateway)}/v1", stack.api_key) as api:
        body = {"assistant_id": api.assistant(name)}
        with api.listening(f"/threads/{api.thread('Hello')}/runs", body) as reader:
            await reader.sees("thread.message.delta")
            api.headers["x-stainless-retry-count"] = "0"
            thread_id = api.thread("Hello once")
            stopping = asyncio.create_task(stack.stop(gateway))
            await eventually(lambda: refuses(*address_of(stack, gateway)), within_s=60)
            gate.open()
            events = await reader.ends()
    assert [name for name, _ in events[-2:]] == ["thread.run.completed", "done"]
    await stopping
    return thread_id


def repeated(stack: Stack, gateway: str) -> str:
    """The thread of somebody else who asks the same, and whom the gateway that stopped did not answer."""
    with Api(f"{stack.url(gateway)}/v1", stack.api_key) as api:
        api.headers["x-stainless-retry-count"] = "1"
        return api.thread("Hello once")


async def refuses(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


def address_of(stack: Stack, name: str) -> tuple[str, int]:
    return HOST, int(stack.url(name).rpartition(":")[2])
