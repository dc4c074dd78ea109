"""The API without an SDK: what is on the wire, and event streams read beside the test."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx

from tests.eventually import eventually

Json: TypeAlias = dict[str, Any]
Event: TypeAlias = tuple[str, Any]  # name and parsed data; ("done", "[DONE]")
ENDED = ("completed", "incomplete", "failed", "cancelled", "expired")
ENDED_WITHIN_S = 60.0  # other work goes on on the machine that tests


class Api:
    """Calls that are expected to work; ``refused`` for those that are not."""

    def __init__(self, base_url: str, api_key: str, version: str = "v2") -> None:
        self.headers = {"Authorization": f"Bearer {api_key}", "OpenAI-Beta": f"assistants={version}"}
        self.client = httpx.Client(base_url=base_url, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def post(self, path: str, body: Any = None) -> Json:
        return answer_of(self.client.post(path, json=body, headers=self.headers))

    def get(self, path: str, **params: Any) -> Json:
        return answer_of(self.client.get(path, params=params, headers=self.headers))

    def delete(self, path: str) -> Json:
        return answer_of(self.client.delete(path, headers=self.headers))

    def refused(self, method: str, path: str, body: Any = None, *, status: int = 400) -> Json:
        """Return the error; its form is checked here."""
        return error_of(self.client.request(method, path, json=body, headers=self.headers), status)

    def assistant(self, model: str = "gpt-4-1106-preview", **fields: Any) -> str:
        return str(self.post("/assistants", {"model": model, "instructions": "Be brief.", **fields})["id"])

    def thread(self, *texts: str) -> str:
        messages = [{"role": "user", "content": text} for text in texts]
        return str(self.post("/threads", {"messages": messages})["id"])

    def run(self, thread: str, assistant: str, **fields: Any) -> Json:
        return self.post(f"/threads/{thread}/runs", {"assistant_id": assistant, **fields})

    def run_of(self, run: Json) -> Json:
        return self.get(f"/threads/{run['thread_id']}/runs/{run['id']}")

    def steps(self, run: Json) -> list[Json]:
        """In the order in which they happened."""
        page = self.get(f"/threads/{run['thread_id']}/runs/{run['id']}/steps", order="asc", limit=100)
        return list(page["data"])

    def messages(self, run: Json) -> list[Json]:
        """Those that the run wrote, in their order."""
        page = self.get(f"/threads/{run['thread_id']}/messages", order="asc", limit=100)
        return [message for message in page["data"] if message["run_id"] == run["id"]]

    async def reaches(self, run: Json, *statuses: str, within_s: float = ENDED_WITHIN_S) -> Json:
        """Wait until the run has one of ``statuses``, and return it."""

        async def reached() -> Json | None:
            now = self.run_of(run)
            assert now["status"] in statuses or now["status"] not in ENDED, now
            return now if now["status"] in statuses else None

        return await eventually(reached, within_s=within_s)

    async def completes(self, run: Json, *, within_s: float = ENDED_WITHIN_S) -> Json:
        return await self.reaches(run, "completed", within_s=within_s)

    def stream(self, path: str, body: Any = None) -> list[Event]:
        """Return all events of a stream, once it has ended."""
        with self.listening(path, body) as reader:
            reader.join()
            return list(reader.events)

    @contextlib.contextmanager
    def listening(self, path: str, body: Any = None) -> Iterator["Reader"]:
        """Read a stream in a thread of its own until the end of the block."""
        request = self.client.build_request("POST", path, json={**(body or {}), "stream": True})
        with self._reading(request) as reader:
            yield reader

    @contextlib.contextmanager
    def following(self, run: Json, last_id: str = "") -> Iterator["Reader"]:
        """Read the events of a run that goes on, behind the one with ``last_id``."""
        path = f"/threads/{run['thread_id']}/runs/{run['id']}/events"
        request = self.client.build_request("GET", path, headers={"Last-Event-ID": last_id or "0"})
        with self._reading(request) as reader:
            yield reader

    @contextlib.contextmanager
    def _reading(self, request: httpx.Request) -> Iterator["Reader"]:
        request.headers.update(self.headers)
        reader = Reader(self.client, request)
        try:
            yield reader
        finally:
            reader.leave()


class Reader:
    """``events`` grows while the stream goes on; ``error`` is what broke it, ``last_id`` the last one's."""

    def __init__(self, client: httpx.Client, request: httpx.Request) -> None:
        self.events: list[Event] = []
        self.error: httpx.HTTPError | None = None
        self.last_id = ""
        self._response = client.send(request, stream=True)
        if self._response.status_code != 200:
            self._response.read()
        assert self._response.status_code == 200, self._response.text
        assert self._response.headers["content-type"] == "text/event-stream; charset=utf-8"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def run(self) -> Json:
        """As the first event about the run tells it."""
        return next(data for name, data in self.events if data.get("object") == "thread.run")

    def join(self, within_s: float = ENDED_WITHIN_S) -> None:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), f"the stream goes on: {self.names}"
        assert self.error is None, repr(self.error)

    async def sees(self, name: str, *, times: int = 1, within_s: float = 30.0) -> Json:
        """Wait for the event ``name``, and return its data."""

        async def seen() -> list[Json]:
            found = [data for event, data in list(self.events) if event == name]
            assert len(found) >= times or not self.ended, f"no {name}: {self.names} {self.error!r}"
            return found[times - 1 :]

        return (await eventually(seen, within_s=within_s))[0]

    async def ends(self, *, within_s: float = ENDED_WITHIN_S) -> list[Event]:
        async def over() -> bool:
            return self.ended

        await eventually(over, within_s=within_s)
        assert self.error is None, repr(self.error)
        return list(self.events)

    def leave(self) -> None:
        """Go away, as a client does whose user closed the window."""
        if self._thread.is_alive():
            network = self._response.extensions["network_stream"]
            with contextlib.suppress(OSError):
                network.get_extra_info("socket").shutdown(2)
        self._thread.join(10)
        self._response.close()

    def _read(self) -> None:
        name = id_ = ""
        try:
            for line in self._response.iter_lines():
                if line.startswith("id: "):
                    id_ = line.removeprefix("id: ")
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = line.removeprefix("data: ")
                    self.events.append((name, data if name == "done" else json.loads(data)))
                    self.last_id = id_
        except httpx.HTTPError as error:
            self.error = error


def answer_of(response: httpx.Response) -> Json:
    assert response.status_code == 200, response.text
    assert response.headers["openai-version"] == "2020-10-01"
    assert response.headers["x-request-id"].startswith("req_")
    answer: Json = response.json()
    return answer


def error_of(response: httpx.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: Json = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def text_of(message: Json) -> str:
    return "".join(part["text"]["value"] for part in message["content"])


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """For code that may not await: wait for ``condition``, and say whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
