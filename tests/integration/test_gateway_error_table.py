"""Every row of the reference's table of errors: status, words, type, param and code, in one place.

Left out are two that cannot happen here: a model that the service itself refuses (any name goes to the
model's server), and a used-up quota (there is no billing).
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.gateway.stores.threads import ThreadStore
from shared.runs.model import Json
from tests.integration.running_gateway import KEY, V1, V2, Worker, api, running_gateway

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if "
    "you're accessing the API from your browser and are prompted for a username and password. "
)
NOT_JSON = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
SORRY = (
    "The server had an error processing your request. Sorry about that! You can retry your request, or "
    "contact us through our help center"
)
USER = {"role": "user", "content": "x"}
ROOM_BYTES = 64 * 1024
FUNCTION = {"type": "function", "function": {"name": "f"}}


class World:
    """A thread with a run that waits for two calls, and one whose run is over."""

    def __init__(self, url: str, mongo_url: str, database: str) -> None:
        self.v1, self.v2 = api(url, V1), api(url, V2)
        self.assistant = self.v2.assistant(tools=[FUNCTION])
        self.bare = self.v2.assistant(instructions=None)
        self.empty = self.v2.thread()
        self.waiting, self.waiting_run = self._run()
        self.done, self.done_run = self._run()
        asyncio.run(self._work(mongo_url, database))
        self.csv = self._upload("a.csv")
        self.text = self._upload("a.txt")

    def _run(self) -> tuple[str, str]:
        thread = self.v2.thread("Hello")
        run = self.v2.post(f"/threads/{thread}/runs", {"assistant_id": self.assistant})
        return thread, str(run["id"])

    async def _work(self, mongo_url: str, database: str) -> None:
        worker = Worker(mongo_url, database)
        await worker.ask(self.waiting_run, ("call_a", "f"), ("call_b", "f"))
        await worker.finish(self.done_run)
        worker.close()

    def _upload(self, name: str) -> str:
        return str(self.upload(name, b"x", "assistants").json()["id"])

    def upload(self, name: str, content: bytes, purpose: str) -> httpx.Response:
        form = {"file": (name, content)}
        return self.v2.client.post("/files", files=form, data={"purpose": purpose}, headers=self.v2.headers)

    def close(self) -> None:
        self.v1.client.close()
        self.v2.client.close()


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[str]:
    with running_gateway(kafka_bootstrap, mongo_url, database, max_file_bytes=ROOM_BYTES) as url:
        yield url


@pytest.fixture(scope="module")
def world(url: str, mongo_url: str, database: str) -> Iterator[World]:
    world = World(url, mongo_url, database)
    yield world
    world.close()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request and its answer; ``words`` is the whole message, or its beginning if it ends in "…"."""

    name: str
    ask: Callable[[World], httpx.Response]
    status: int = 400
    words: str | Callable[[World], str]
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


def send(method: str, path: str, body: Any = None, *, v1: bool = False) -> Callable[[World], httpx.Response]:
    """The request to ``path``, in which the names of the world's attributes stand in braces."""

    def ask(world: World) -> httpx.Response:
        to = world.v1 if v1 else world.v2
        filled = _filled(body, world)
        return to.client.request(method, path.format(**vars(world)), json=filled, headers=to.headers)

    return ask


def _filled(value: Any, world: World) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: str(getattr(world, found[1])), value)
    if isinstance(value, dict):
        return {key: _filled(each, world) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, world) for each in value]
    return value


def with_headers(headers: Json) -> Callable[[World], httpx.Response]:
    return lambda world: world.v2.client.get("/assistants", headers=headers)


def raw(content: bytes) -> Callable[[World], httpx.Response]:
    headers = {"content-type": "application/json"}
    return lambda world: world.v2.client.post(
        "/assistants", content=content, headers=world.v2.headers | headers
    )


def made(**fields: Any) -> Callable[[World], httpx.Response]:
    return send("POST", "/assistants", {"model": "m", **fields})


def missing(kind: str, name: str) -> str:
    return f"No {kind} found with id '{name}'."


RUN = {"assistant_id": "{assistant}"}
ROWS = (
    Row(name="no key", ask=with_headers(V2), status=401, words=NO_KEY + "…"),
    Row(
        name="bad key",
        ask=with_headers({"Authorization": "Bearer sk-another-key", **V2}),
        status=401,
        words="Incorrect API key provided: sk-a…",
        code="invalid_api_key",
    ),
    Row(
        name="no version",
        ask=with_headers({"Authorization": f"Bearer {KEY}"}),
        words="You must provide the 'OpenAI-Beta' header to access the Assistants API.…",
        code="invalid_beta",
    ),
    Row(name="unknown path", ask=send("POST", "/foo"), status=404, words="Invalid URL (POST /v1/foo)"),
    Row(
        name="wrong method",
        ask=send("PUT", "/threads/{empty}", {}),
        status=405,
        words=lambda w: (
            f"Not allowed to PUT on /v1/threads/{w.empty} "
            "(HINT: Perhaps you meant to use a different HTTP method?)"
        ),
    ),
    Row(
        name="no assistant",
        ask=send("GET", "/assistants/asst_x"),
        status=404,
        words=missing("assistant", "asst_x"),
    ),
    Row(
        name="no thread",
        ask=send("GET", "/threads/thread_x"),
        status=404,
        words=missing("thread", "thread_x"),
    ),
    Row(
        name="no message",
        ask=send("GET", "/threads/{empty}/messages/msg_x"),
        status=404,
        words=missing("message", "msg_x"),
    ),
    Row(
        name="no run",
        ask=send("GET", "/threads/{empty}/runs/run_x"),
        status=404,
        words=missing("run", "run_x"),
    ),
    Row(
        name="no run step",
        ask=send("GET", "/threads/{done}/runs/{done_run}/steps/step_x"),
        status=404,
        words=missing("run step", "step_x"),
    ),
    Row(
        name="no file",
        ask=send("GET", "/files/file-x"),
        status=404,
        words="No such File object: file-x",
        param="id",
    ),
    Row(
        name="no model",
        ask=send("DELETE", "/models/x"),
        status=404,
        words="The model 'x' does not exist",
        param="model",
        code="model_not_found",
    ),
    Row(
        name="missing field",
        ask=send("POST", "/threads/{empty}/runs", {}),
        words="Missing required parameter: 'assistant_id'.",
        param="assistant_id",
        code="missing_required_parameter",
    ),
    Row(
        name="unknown field",
        ask=made(x=1),
        words="Unknown parameter: 'x'.",
        param="x",
        code="unknown_parameter",
    ),
    Row(
        name="wrong JSON type",
        ask=made(name=1),
        words="Invalid type for 'name': expected a string, but got an integer instead.",
        param="name",
        code="invalid_type",
    ),
    Row(
        name="not in enum",
        ask=made(tools=[{"type": "retrieval"}]),
        words=(
            "Invalid value: 'retrieval'. Supported values are: "
            "'code_interpreter', 'function', and 'file_search'."
        ),
        param="tools[0].type",
        code="invalid_value",
    ),
    Row(
        name="too long",
        ask=send("POST", "/threads", {"messages": [USER, USER | {"content": "x" * 256_001}]}),
        words=(
            "Invalid 'messages[1].content': string too long. Expected a string with maximum length 256000, "
            "but got a string with length 256001 instead."
        ),
        param="messages[1].content",
        code="string_above_max_length",
    ),
    Row(
        name="too many",
        ask=made(tool_resources={"code_interpreter": {"file_ids": ["f"] * 21}}),
        words=(
            "Invalid 'tool_resources.code_interpreter.file_ids': array too long. "
            "Expected an array with maximum length 20, but got an array with length 21 instead."
        ),
        param="tool_resources.code_interpreter.file_ids",
        code="array_above_max_length",
    ),
    Row(
        name="too small",
        ask=made(temperature=-1),
        words="Invalid 'temperature': decimal below minimum value. …",
        param="temperature",
        code="decimal_below_min_value",
    ),
    Row(
        name="too small a whole number",
        ask=send("POST", "/threads/{empty}/runs", {**RUN, "max_prompt_tokens": 0}),
        words="Invalid 'max_prompt_tokens': integer below minimum value. …",
        param="max_prompt_tokens",
        code="integer_below_min_value",
    ),
    Row(
        name="pattern",
        ask=made(tools=[{"type": "function", "function": {"name": "a b"}}]),
        words=(
            "Invalid 'tools[0].function.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        ),
        param="tools[0].function.name",
        code="invalid_value",
    ),
    Row(name="no JSON", ask=raw(b"{"), words=NOT_JSON + "…"),
    Row(
        name="message while a run is active",
        ask=send("POST", "/threads/{waiting}/messages", USER),
        words=lambda w: f"Can't add messages to {w.waiting} while a run {w.waiting_run} is active.",
    ),
    Row(
        name="run while a run is active",
        ask=send("POST", "/threads/{waiting}/runs", RUN),
        words=lambda w: f"Thread {w.waiting} already has an active run {w.waiting_run}.",
    ),
    Row(
        name="submit in the wrong state",
        ask=send(
            "POST",
            "/threads/{done}/runs/{done_run}/submit_tool_outputs",
            {"tool_outputs": [{"tool_call_id": "call_a", "output": "1"}]},
        ),
        words='Runs in status "completed" do not accept tool outputs.',
    ),
    Row(
        name="submit incomplete",
        ask=send(
            "POST",
            "/threads/{waiting}/runs/{waiting_run}/submit_tool_outputs",
            {"tool_outputs": [{"tool_call_id": "call_a", "output": "1"}]},
        ),
        words="Expected tool outputs for call_ids ['call_a', 'call_b'], got ['call_a']",
    ),
    Row(
        name="cancel in the wrong state",
        ask=send("POST", "/threads/{done}/runs/{done_run}/cancel"),
        words="Cannot cancel run with status 'completed'.",
    ),
    Row(
        name="modify an active run",
        ask=send("POST", "/threads/{waiting}/runs/{waiting_run}", {"metadata": {}}, v1=True),
        words="Cannot update run with status 'requires_action'.",
    ),
    Row(
        name="nothing to do",
        ask=send("POST", "/threads/{empty}/runs", {"assistant_id": "{bare}"}),
        words="Run creation requires a Thread with a user message or an assistant with instructions.",
        code="invalid_thread",
    ),
    Row(
        name="JSON mode with hosted tools",
        ask=made(tools=[{"type": "code_interpreter"}], response_format={"type": "json_object"}),
        words=(
            "Invalid tools: all tools must be of type `function` when `response_format` is of type "
            "`json_object`."
        ),
    ),
    Row(
        name="file id of nothing",
        ask=made(tool_resources={"code_interpreter": {"file_ids": ["file-x"]}}),
        words="The following file ids were not found: file-x",
    ),
    Row(
        name="image that is none",
        ask=send(
            "POST",
            "/threads/{empty}/messages",
            USER | {"content": [{"type": "image_file", "image_file": {"file_id": "{text}"}}]},
        ),
        words="Invalid message content: Expected file type to be a supported format: …",
    ),
    Row(
        name="image url that is none",
        ask=send(
            "POST",
            "/threads/{empty}/messages",
            USER | {"content": [{"type": "image_url", "image_url": {"url": "https://a/b.txt"}}]},
        ),
        words="Invalid 'content[0].image_url.url'. Expected url to end in a supported format",
        param="content[0].image_url.url",
        code="invalid_value",
    ),
    Row(
        name="bad purpose",
        ask=lambda w: w.upload("a.txt", b"x", "x"),
        words=(
            "'x' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] "
            "- 'purpose'"
        ),
        param="purpose",
    ),
    Row(
        name="content of an input file",
        ask=send("GET", "/files/{text}/content"),
        words="Not allowed to download files of purpose: assistants",
    ),
    Row(
        name="too many messages, as v1 says it",
        ask=send("POST", "/threads", {"messages": [USER] * 33}, v1=True),
        words=(
            "1 validation error for Request\nbody -> messages\n  ensure this value has at most 32 items "
            "(type=value_error.list.max_items; limit_value=32)"
        ),
        param="messages",
    ),
    Row(
        name="upload too big",
        ask=lambda w: w.upload("a.txt", b"x" * (ROOM_BYTES + 1), "assistants"),
        status=413,
        words="The file exceeds the maximum size of …",
        param="file",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(world: World, row: Row) -> None:
    check(row.ask(world), row, world)


def check(response: httpx.Response, row: Row, world: World) -> None:
    assert response.status_code == row.status, response.text
    body = response.json()
    error = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    words = row.words if isinstance(row.words, str) else row.words(world)
    if words.endswith("…"):
        assert error["message"].startswith(words[:-1])
    else:
        assert error["message"] == words
    assert (error["type"], error["param"], error["code"]) == (row.type, row.param, row.code)
    assert response.headers["x-request-id"].startswith("req_")


def test_rate(kafka_bootstrap: str, mongo_url: str, database: str) -> None:
    with running_gateway(kafka_bootstrap, mongo_url, f"{database}_1", requests_per_minute=1) as url:
        limited = api(url, V2)
        limited.get("/assistants")
        error = limited.refused("GET", "/assistants", status=429)
        limited.client.close()
    assert re.match(
        r"Rate limit reached in organization org-\S+ on requests per min \(RPM\): Limit 1, Used \d+, "
        r"Requested 1\. Please try again in [\d.]+m?s\.",
        error["message"],
    )
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")


def test_internal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("made to fail by the test")

    monkeypatch.setattr(ThreadStore, "get", broken)
    error = world.v2.refused("GET", f"/threads/{world.empty}", status=500)
    assert error["message"].startswith(SORRY)
    assert "req_" in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
