"""Every operation of the gateway is called over HTTP, under both versions; every answer is noted."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.runs import facts as f
from shared.runs.model import Json, ToolCall
from tests.contract.reference import Beta
from tests.integration.running_gateway import KEY, TEXT, USAGE, Worker

FUNCTION: Json = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {}}}
TOOLS: list[Json] = [{"type": "code_interpreter"}, FUNCTION]
CODE = ToolCall(id="c1", type="code_interpreter", name="code_interpreter", input="print(84)")
LOGS: Json = {"type": "logs", "logs": "84"}


@dataclass
class Seen:
    answers: list[tuple[Beta, str, Json]] = field(default_factory=list)  # with the operation
    events: list[tuple[Beta, str, Any]] = field(default_factory=list)  # with the event's name
    errors: list[tuple[Beta, Json]] = field(default_factory=list)


class Worked(Worker):
    """Ends runs in all the ways there are."""

    async def code(self, run_id: str) -> None:
        await self.claim(run_id)
        await self._apply(run_id, lambda run: f.CallsStarted(run.epoch, time.time()))
        await self._apply(run_id, lambda run: f.CallsMade(run.epoch, time.time(), (CODE,), USAGE))
        await self._apply(run_id, lambda _: f.ToolAnswered("c1", "84", time.time(), (LOGS,)))

    async def fail(self, run_id: str) -> None:
        await self.claim(run_id)
        await self._apply(run_id, lambda run: f.MessageStarted(run.epoch, time.time()))
        await self._apply(
            run_id,
            lambda run: f.Failed(run.epoch, time.time(), "rate_limit_exceeded", "Slow down.", TEXT, USAGE),
        )
        await self.settle(run_id)

    async def expire(self, run_id: str) -> None:
        await self._apply(run_id, lambda run: f.Expired(float(run.expires_at)))
        await self.settle(run_id)


class Tour:
    def __init__(self, url: str, beta: Beta, seen: Seen, worker: Worked) -> None:
        self.beta, self.seen, self.worker = beta, seen, worker
        self.ids: dict[str, str] = {}
        headers = {"Authorization": f"Bearer {KEY}", "OpenAI-Beta": f"assistants={beta}"}
        self._client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=30)

    async def all(self) -> None:
        with self._client:
            self.files_and_models()
            self.assistants()
            self.threads()
            self.messages()
            if self.beta == "v1":
                self.v1_files()
            else:
                self.vector_stores()
            await self.runs()
            await self.streams()
            self.deletions()

    def files_and_models(self) -> None:
        file = {"file": ("a.txt", b"text")}
        self.ids["file_id"] = self.call("POST /files", files=file, data={"purpose": "assistants"})["id"]
        self.call("GET /files")
        self.call("GET /files/{file_id}")
        self.ids["model"] = self.call("GET /models")["data"][0]["id"]
        self.call("GET /models/{model}")

    def assistants(self) -> None:
        files = [self.ids["file_id"]]
        named: Json = {"file_ids": files}
        if self.beta == "v2":
            named = {"tool_resources": {"code_interpreter": {"file_ids": files}}, "temperature": 0.5}
        body = {"model": "gpt-4", "name": "n", "instructions": "i", "tools": TOOLS, "metadata": {"a": "b"}}
        self.ids["assistant_id"] = self.call("POST /assistants", {**body, **named})["id"]
        self.call("POST /assistants", {"model": "gpt-4"})  # everything else by default
        self.call("GET /assistants")
        self.call("GET /assistants", params={"after": "asst_unknown"})
        self.call("GET /assistants/{assistant_id}")
        self.call("POST /assistants/{assistant_id}", {"description": "d"})
        self.refused("GET", "/assistants/asst_unknown")
        self.refused("POST", "/assistants", {"model": 1})

    def threads(self) -> None:
        body = {"messages": [{"role": "user", "content": "hi"}], "metadata": {"a": "b"}}
        self.ids["thread_id"] = self.call("POST /threads", body)["id"]
        self.call("GET /threads/{thread_id}")
        self.call("POST /threads/{thread_id}", {"metadata": {"c": "d"}})

    def messages(self) -> None:
        files = [self.ids["file_id"]]
        named: Json = {"file_ids": files}
        if self.beta == "v2":
            named = {"attachments": [{"file_id": files[0], "tools": [{"type": "code_interpreter"}]}]}
        message = {"role": "user", "content": "Look.", **named}
        self.ids["message_id"] = self.call("POST /threads/{thread_id}/messages", message)["id"]
        self.call("GET /threads/{thread_id}/messages")
        self.call("GET /threads/{thread_id}/messages/{message_id}")
        self.call("POST /threads/{thread_id}/messages/{message_id}", {"metadata": {"a": "b"}})
        if self.beta == "v2":
            image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
            content = [{"type": "text", "text": "What is this?"}, image]
            self.call("POST /threads/{thread_id}/messages", {"role": "user", "content": content})

    def vector_stores(self) -> None:
        files = [self.ids["file_id"]]
        self.ids["vector_store_id"] = self.call("POST /vector_stores", {"name": "n", "file_ids": files})["id"]
        self.call("POST /vector_stores")  # everything by default
        self.call("GET /vector_stores")
        self.call("GET /vector_stores", params={"after": "vs_unknown"})
        self.call("GET /vector_stores/{vector_store_id}")
        policy = {"anchor": "last_active_at", "days": 7}
        self.call("POST /vector_stores/{vector_store_id}", {"expires_after": policy})
        self.call("POST /vector_stores/{vector_store_id}/files", {"file_id": files[0]})
        self.call("GET /vector_stores/{vector_store_id}/files")
        self.call("GET /vector_stores/{vector_store_id}/files/{file_id}")
        attributes = {"attributes": {"year": 2023, "by": "Jane", "public": True}}
        self.call("POST /vector_stores/{vector_store_id}/files/{file_id}", attributes)
        self.call("GET /vector_stores/{vector_store_id}/files/{file_id}/content")
        batches = "/vector_stores/{vector_store_id}/file_batches"
        self.ids["batch_id"] = self.call(f"POST {batches}", {"file_ids": files})["id"]
        self.call(f"GET {batches}/{{batch_id}}")
        self.call(f"GET {batches}/{{batch_id}}/files")
        self.call(f"POST {batches}/{{batch_id}}/cancel")
        self.call("POST /vector_stores/{vector_store_id}/search", {"query": "x"})
        self.refused("GET", "/vector_stores/vs_unknown")

    def v1_files(self) -> None:
        self.call("GET /assistants/{assistant_id}/files")
        self.call("DELETE /assistants/{assistant_id}/files/{file_id}")
        self.call("POST /assistants/{assistant_id}/files", {"file_id": self.ids["file_id"]})
        self.call("GET /assistants/{assistant_id}/files/{file_id}")
        self.call("GET /threads/{thread_id}/messages/{message_id}/files")
        self.call("GET /threads/{thread_id}/messages/{message_id}/files/{file_id}")

    async def runs(self) -> None:
        run = self.run()
        await self.worker.code(run)
        self.steps()
        await self.worker.ask(run, ("call_1", "weather"))
        self.call("GET /threads/{thread_id}/runs/{run_id}")
        self.steps()
        outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "rain"}]}
        self.call("POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs", outputs)
        await self.worker.finish(run)
        self.call("POST /threads/{thread_id}/runs/{run_id}", {"metadata": {"a": "b"}})
        for end in (self.worker.fail, self.worker.expire, self._cut_short):
            await end(self.run())
            self.steps()
        self.run()
        self.call("POST /threads/{thread_id}/runs/{run_id}/cancel")
        self.call("GET /threads/{thread_id}/runs")
        self.call("GET /threads/{thread_id}/messages")
        body = {"assistant_id": self.ids["assistant_id"], "thread": {"messages": []}, "tools": TOOLS}
        self.call("POST /threads/runs", body)

    async def _cut_short(self, run: str) -> None:
        await self.worker.finish(run, "max_completion_tokens")

    async def streams(self) -> None:
        body = {"assistant_id": self.ids["assistant_id"], "thread": {"messages": []}}

        async def code_and_function(run: str) -> None:
            await self.worker.code(run)
            await self.worker.ask(run, ("call_1", "weather"))

        ends = (code_and_function, self.worker.fail, self.worker.expire, self._cut_short)
        run, *_ = await asyncio.gather(*(self.stream("/threads/runs", body, end) for end in ends))
        outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "rain"}]}
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        await self.stream(path, outputs, self.worker.finish)

    def deletions(self) -> None:
        if self.beta == "v2":
            self.call("DELETE /threads/{thread_id}/messages/{message_id}")
            self.call("DELETE /vector_stores/{vector_store_id}/files/{file_id}")
            self.call("DELETE /vector_stores/{vector_store_id}")
        for path in ("/threads/{thread_id}", "/assistants/{assistant_id}", "/files/{file_id}"):
            self.call(f"DELETE {path}")

    def run(self) -> str:
        body = {"assistant_id": self.ids["assistant_id"]}
        self.ids["run_id"] = self.call("POST /threads/{thread_id}/runs", body)["id"]
        return self.ids["run_id"]

    def steps(self) -> None:
        self.call("GET /threads/{thread_id}/runs/{run_id}")
        found = self.call("GET /threads/{thread_id}/runs/{run_id}/steps")["data"]
        if found:
            self.ids["step_id"] = found[0]["id"]
            self.call("GET /threads/{thread_id}/runs/{run_id}/steps/{step_id}")

    def call(self, operation: str, body: Any = None, **sent: Any) -> Json:
        method, _, path = operation.partition(" ")
        response = self._client.request(method, path.format(**self.ids), json=body, **sent)
        assert response.status_code == 200, f"{operation}: {response.text}"
        answer: Json = response.json()
        self.seen.answers.append((self.beta, operation, answer))
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> None:
        response = self._client.request(method, path, json=body)
        assert response.status_code in (400, 404), response.text
        self.seen.errors.append((self.beta, response.json()))

    async def stream(self, path: str, body: Json, work: Callable[[str], Awaitable[Any]]) -> Json:
        """Do ``work`` once the run is known; return the run."""
        run: Json = {}
        url, headers = self._client.base_url, self._client.headers
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
            client.stream("POST", path, json={**body, "stream": True}) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for name, data in _events(response):
                self.seen.events.append((self.beta, name, data))
                if not run and data != "[DONE]" and data.get("object") == "thread.run":
                    run = data
                    await work(run["id"])
        assert run
        return run


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, data if data == "[DONE]" else json.loads(data)
