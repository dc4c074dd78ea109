"""Every object is in one project: whoever holds another project's key cannot tell that it exists.

The routes are not listed here but read from the application. One with a new kind of id in its
path, or a new body, fails until this file knows how to make it.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from services.gateway.app import build_app
from services.gateway.settings import Settings
from tests.integration.api_keys import PEPPER, make_key
from tests.integration.running_gateway import V1, V2, Api, Worker, api, running_gateway

NO_PROJECT = {"/models", "/models/{model:path}"}  # the same for everybody

# What even the owner is refused, with the ids and bodies of these tests.
REFUSED = {"submit_tool_outputs", "cancel_run", "get_file_content", "upload_file"}
UNANSWERED = {"search_vector_store"}  # nobody is there who searches


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    name: str
    headers: tuple[tuple[str, str], ...]

    @property
    def ids(self) -> list[str]:
        return re.findall(r"{(\w+)", self.path)


def operations() -> Iterator[Operation]:
    for route in iter_route_contexts(build_app(Settings()).routes):
        path = (route.path or "").removeprefix("/v1")
        if path == route.path or path in NO_PROJECT:
            continue
        parameters = (getattr(route, "openapi_extra", None) or {}).get("parameters", ())
        v1_only = any(each["schema"].get("const") == "assistants=v1" for each in parameters)
        headers = tuple((V1 if v1_only else V2).items())
        for method in sorted(route.methods or ()):
            yield Operation(method, path, route.name or "", headers)


OPERATIONS = sorted(operations(), key=lambda op: (op.method == "DELETE", -len(op.path)))


class World:
    """One of everything, in project a; and the key of project b."""

    def __init__(self, url: str, mongo_url: str, database: str) -> None:
        self.ours = self._api(url, make_key(mongo_url, database, "a"))
        self.theirs = self._api(url, make_key(mongo_url, database, "b"))
        file = self._file()
        self.assistant = self.ours.assistant(tools=[{"type": "code_interpreter"}])
        thread = self.ours.thread("Hello.")
        run = self.ours.post(f"/threads/{thread}/runs", {"assistant_id": self.assistant})["id"]
        asyncio.run(finish(mongo_url, database, run))
        v1 = Api(self.ours.client, {**self.ours.headers, **V1})
        v1.post(f"/assistants/{self.assistant}/files", {"file_id": file})
        said = v1.post(f"/threads/{thread}/messages", {"role": "user", "content": "x", "file_ids": [file]})
        store = self.ours.post("/vector_stores", {"file_ids": [file]})["id"]
        batch = self.ours.post(f"/vector_stores/{store}/file_batches", {"file_ids": [file]})["id"]
        self.ids = {
            "vector_store_id": store,
            "batch_id": batch,
            "assistant_id": self.assistant,
            "thread_id": thread,
            "message_id": said["id"],
            "run_id": run,
            "step_id": self.ours.get(f"/threads/{thread}/runs/{run}/steps")["data"][0]["id"],
            "file_id": file,
        }
        message = {"role": "user", "content": "Hello."}
        outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "1"}]}
        self.bodies: dict[str, Any] = {
            "create_assistant": {"model": "gpt-4"},
            "create_message": message,
            "create_run": {"assistant_id": self.assistant},
            "create_thread_and_run": {"assistant_id": self.assistant},
            "submit_tool_outputs": outputs,
            "attach_file": {"file_id": file},
            "create_vector_store_file": {"file_id": file},
            "modify_vector_store_file": {"attributes": {}},
            "create_file_batch": {"file_ids": [file]},
            "search_vector_store": {"query": "x"},
        }

    def path(self, operation: Operation) -> str:
        return re.sub(r"{(\w+)[^}]*}", lambda found: self.ids[found.group(1)], operation.path)

    def call(self, whose: Api, operation: Operation) -> httpx.Response:
        body = self.bodies.get(operation.name, {}) if operation.method == "POST" else None
        headers = {**whose.headers, **dict(operation.headers)}
        return whose.client.request(operation.method, self.path(operation), json=body, headers=headers)

    def _api(self, url: str, key: str) -> Api:
        made = api(url, V2)
        made.headers["Authorization"] = f"Bearer {key}"
        return made

    def _file(self) -> str:
        answer = self.ours.client.post(
            "/files",
            headers=self.ours.headers,
            files={"file": ("a.txt", b"text")},
            data={"purpose": "assistants"},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


async def finish(mongo_url: str, database: str, run: str) -> None:
    worker = Worker(mongo_url, database)
    await worker.finish(run)
    worker.close()


@pytest.fixture(scope="module")
def make_world(kafka_bootstrap: str, mongo_url: str) -> Iterator[Callable[[], World]]:
    database = f"gateway_{uuid4().hex[:12]}"
    made: list[World] = []

    def make() -> World:
        made.append(World(url, mongo_url, database))
        return made[-1]

    settings = {"key_pepper": SecretStr(PEPPER), "search_patience_s": 0.2}
    with running_gateway(kafka_bootstrap, mongo_url, database, **settings) as url:
        yield make
        for world in made:
            world.ours.client.close()
            world.theirs.client.close()


@pytest.fixture(scope="module")
def world(make_world: Callable[[], World]) -> World:
    return make_world()


def test_every_operation_is_looked_at() -> None:
    assert len(OPERATIONS) > 30
    assert {"get_thread", "create_run", "get_file_content"} <= {operation.name for operation in OPERATIONS}


def test_a_foreign_object_is_answered_like_a_missing_one(world: World) -> None:
    for operation in OPERATIONS:
        if not operation.ids:
            continue
        response = world.call(world.theirs, operation)
        where = f"{operation.method} {operation.path}: {response.text}"
        assert response.status_code == 404, where
        kept = dict(world.ids)
        world.ids = {name: re.sub(r"\w{8}$", "00000000", value) for name, value in kept.items()}
        missing = world.call(world.theirs, operation)
        said = missing.text
        for name, value in world.ids.items():
            said = said.replace(value, kept[name])
        world.ids = kept
        assert (missing.status_code, said) == (404, response.text), where


def test_a_list_shows_nothing_foreign_and_a_body_may_not_name_it(world: World) -> None:
    for operation in OPERATIONS:
        if operation.ids:
            continue
        response = world.call(world.theirs, operation)
        where = f"{operation.method} {operation.path}: {response.text}"
        if operation.name == "create_thread_and_run":
            assert response.status_code == 404, where
        assert response.status_code in (200, 400, 404), where
        assert not [value for value in world.ids.values() if f'"{value}"' in response.text], where


def test_a_foreign_cursor_and_a_foreign_file_are_not_there(world: World) -> None:
    theirs = world.theirs
    assert theirs.get("/assistants", after=world.assistant)["data"] == []
    message = {
        "role": "user",
        "content": "x",
        "attachments": [{"file_id": world.ids["file_id"], "tools": [{"type": "code_interpreter"}]}],
    }
    assert "not found" in theirs.refused("POST", "/threads", {"messages": [message]})["message"]
    resources = {"code_interpreter": {"file_ids": [world.ids["file_id"]]}}
    assert theirs.refused("POST", "/assistants", {"model": "m", "tool_resources": resources})
    assert theirs.refused("POST", "/vector_stores", {"file_ids": [world.ids["file_id"]]})
    searched = {"file_search": {"vector_store_ids": [world.ids["vector_store_id"]]}}
    theirs.refused("POST", "/threads", {"tool_resources": searched}, status=404)
    own = theirs.post("/vector_stores")["id"]
    for path, body in (
        ("files", {"file_id": world.ids["file_id"]}),
        ("file_batches", {"file_ids": [world.ids["file_id"]]}),
    ):
        assert "not found" in theirs.refused("POST", f"/vector_stores/{own}/{path}", body)["message"]
    thread = theirs.thread("Hello.")
    theirs.refused("POST", f"/threads/{thread}/runs", {"assistant_id": world.assistant}, status=404)
    ours = world.ids
    for path in (
        f"/messages/{ours['message_id']}",
        f"/runs/{ours['run_id']}",
        f"/runs/{ours['run_id']}/steps",
    ):
        theirs.refused("GET", f"/threads/{thread}{path}", status=404)


def test_no_path_is_open_without_a_key(world: World) -> None:
    for operation in OPERATIONS:
        headers = dict(operation.headers)
        response = world.ours.client.request(operation.method, world.path(operation), headers=headers)
        assert response.status_code == 401, f"{operation.method} {operation.path}"


def test_the_owner_finds_all_of_it(make_world: Callable[[], World]) -> None:
    """Else the tests above would prove nothing. In a world of its own: it deletes what it meets."""
    world = make_world()
    for operation in OPERATIONS:
        response = world.call(world.ours, operation)
        where = f"{operation.method} {operation.path}: {response.text}"
        expected = 400 if operation.name in REFUSED else 503 if operation.name in UNANSWERED else 200
        assert response.status_code == expected, where
        if operation.name == "create_run":  # gives the thread back
            made = response.json()["id"]
            world.ours.post(f"/threads/{world.ids['thread_id']}/runs/{made}/cancel")
