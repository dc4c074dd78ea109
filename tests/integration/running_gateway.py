"""A gateway over real HTTP, and a stand-in for the orchestrator that moves its runs by hand."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from services.gateway.app import build_app
from services.gateway.settings import Settings
from shared.runs import facts as f
from shared.runs.model import Json, Run, ToolCall, Usage
from shared.runs.rules import advance
from shared.stores.database import connect
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from tests.processes import free_port
from tests.threads import messages_of

V1 = {"OpenAI-Beta": "assistants=v1"}
V2 = {"OpenAI-Beta": "assistants=v2"}
KEY = "sk-test-0123456789"
READY_S = 20.0
TEXT = ({"type": "text", "text": {"value": "x = 1", "annotations": []}},)
USAGE = Usage(prompt_tokens=7, completion_tokens=5)


@contextmanager
def running_gateway(kafka_bootstrap: str, mongo_url: str, database: str, **settings: Any) -> Iterator[str]:
    """Run a gateway on the given infrastructure; give its URL."""
    app = build_app(
        Settings(
            kafka_bootstrap=kafka_bootstrap,
            mongo_url=SecretStr(mongo_url),
            mongo_database=database,
            api_key=SecretStr(KEY),
            **settings,
        )
    )
    with serving(app) as url:
        yield url


def api(url: str, headers: dict[str, str]) -> "Api":
    return Api(httpx.Client(base_url=f"{url}/v1", timeout=30), {"Authorization": f"Bearer {KEY}", **headers})


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` from a thread with a loop of its own; give its URL."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + READY_S
        while not server.started:
            assert thread.is_alive(), "the gateway did not start"
            assert time.monotonic() < deadline, "the gateway is not ready"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class Api:
    """Calls that are expected to work, and those that are expected to be refused."""

    def __init__(self, client: httpx.Client, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    def post(self, path: str, body: Any = None) -> Json:
        return self._answer(self.client.post(path, json=body, headers=self.headers))

    def get(self, path: str, **params: Any) -> Json:
        return self._answer(self.client.get(path, params=params, headers=self.headers))

    def delete(self, path: str) -> Json:
        return self._answer(self.client.delete(path, headers=self.headers))

    def refused(self, method: str, path: str, body: Any = None, status: int = 400) -> Json:
        """Return the error that the call is answered with."""
        response = self.client.request(method, path, json=body, headers=self.headers)
        assert response.status_code == status, response.text
        error: Json = response.json()["error"]
        assert list(error) == ["message", "type", "param", "code"]
        return error

    def _answer(self, response: httpx.Response) -> Json:
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    def assistant(self, **fields: Any) -> str:
        return str(self.post("/assistants", {"model": "gpt-4", "instructions": "Be kind.", **fields})["id"])

    def thread(self, *texts: str) -> str:
        messages = [{"role": "user", "content": text} for text in texts]
        return str(self.post("/threads", {"messages": messages})["id"])


def started(client: Api, **fields: object) -> tuple[str, str]:
    """Start a run on a thread with a message; return the paths of thread and run."""
    thread, assistant = client.thread("Solve 3x + 11 = 14."), client.assistant()
    run = client.post(f"/threads/{thread}/runs", {"assistant_id": assistant, **fields})
    return f"/threads/{thread}", f"/threads/{thread}/runs/{run['id']}"


class Worker:
    """Does to runs what the orchestrator would, step by step."""

    def __init__(self, mongo_url: str, database: str) -> None:
        self._db = connect(mongo_url, database)
        self._runs = RunStore(self._db)
        self._messages = MessageStore(self._db)

    def close(self) -> None:
        self._db.client.close()

    async def get(self, run_id: str) -> Run:
        run = await self._runs.get(run_id)
        assert run is not None
        return run

    async def input_of(self, run_id: str) -> list[str]:
        """Return the ids of the messages that the run may read."""
        run = await self.get(run_id)
        found = await messages_of(self._messages, run.thread_id, upto=run.input_upto)
        return [message["_id"] for message in found]

    async def claim(self, run_id: str) -> Run:
        return await self._apply(run_id, lambda _: f.Claimed("test", time.time(), lease_s=60))

    async def ask(self, run_id: str, *calls: tuple[str, str]) -> Run:
        """Claim the run and stop it for function calls: (id, function)."""
        await self.claim(run_id)
        await self._apply(run_id, lambda run: f.CallsStarted(run.epoch, time.time()))
        made = tuple(ToolCall(id=call, type="function", name=name, input="{}") for call, name in calls)
        return await self._apply(run_id, lambda run: f.CallsMade(run.epoch, time.time(), made, USAGE))

    async def finish(self, run_id: str, incomplete_reason: str | None = None) -> Run:
        await self.claim(run_id)
        await self._apply(run_id, lambda run: f.MessageStarted(run.epoch, time.time()))
        await self._apply(
            run_id, lambda run: f.Answered(run.epoch, time.time(), TEXT, USAGE, incomplete_reason)
        )
        return await self.settle(run_id)

    async def let_go(self, run_id: str) -> Run:
        """End a run that is being cancelled."""
        await self._apply(run_id, lambda run: f.Stopped(run.epoch, time.time()))
        return await self.settle(run_id)

    async def settle(self, run_id: str) -> Run:
        for step in (await self.get(run_id)).steps:
            if step.message_id:
                await self._messages.write_step(await self.get(run_id), step)
        return await self._apply(run_id, lambda _: f.Settled(time.time()))

    async def _apply(self, run_id: str, fact: Callable[[Run], f.Fact]) -> Run:
        run, _ = await self._runs.change(await self.get(run_id), lambda run: advance(run, fact(run)))
        return run
