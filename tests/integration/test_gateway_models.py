"""The list of models: what the model's server has, and the aliases for it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.gateway.wire.objects import ModelList
from shared.runs.model import Json
from tests.integration.running_gateway import V2, Api, api, running_gateway
from tests.processes import free_port

SERVED = [
    {"id": "llama3.1:8b", "object": "model", "created": 1_700_000_000, "owned_by": "library", "more": True},
    {"id": "org/model-7b"},
]
LLAMA = {"id": "llama3.1:8b", "object": "model", "created": 1_700_000_000, "owned_by": "library"}
ALIAS = {"id": "gpt-4", "object": "model", "created": 1_700_000_000, "owned_by": "threadmill"}


class _Handler(BaseHTTPRequestHandler):
    server: "ListServer"

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("authorization"))
        body = json.dumps({"object": "list", "data": SERVED}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class ListServer(ThreadingHTTPServer):
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[str | None] = []


@pytest.fixture
def served() -> Iterator[ListServer]:
    with ListServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def asking(kafka_bootstrap: str, mongo_url: str) -> Iterator[Any]:
    opened = []

    def ask(port: int, aliases: dict[str, str]) -> Api:
        gateway = running_gateway(
            kafka_bootstrap,
            mongo_url,
            f"gateway_{uuid4().hex[:12]}",
            model_url=f"http://127.0.0.1:{port}/v1",
            model_api_key=SecretStr("sk-model"),
            model_aliases=aliases,
        )
        client = api(gateway.__enter__(), V2)
        opened.append((gateway, client))
        return client

    yield ask
    for gateway, client in opened:
        client.client.close()
        gateway.__exit__(None, None, None)


def test_models_are_those_of_the_server_and_their_aliases(served: ListServer, asking: Any) -> None:
    client = asking(served.server_port, {"gpt-4": "llama3.1:8b"})
    found: Json = client.get("/models")
    ModelList.model_validate(found)
    other = {"id": "org/model-7b", "object": "model", "created": 0, "owned_by": "threadmill"}
    assert found == {"object": "list", "data": [LLAMA, other, ALIAS]}
    for model in found["data"]:
        assert client.get(f"/models/{model['id']}") == model
    assert served.keys == ["Bearer sk-model"] * 4
    for method, name in (("GET", "gpt-5"), ("DELETE", "gpt-4"), ("DELETE", "ft:gpt-3.5-turbo-1106:org::abc")):
        error = client.refused(method, f"/models/{name}", status=404)
        assert error["message"] == f"The model '{name}' does not exist"
        assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_an_alias_for_every_name_makes_every_name_a_model(served: ListServer, asking: Any) -> None:
    client = asking(served.server_port, {"*": "llama3.1:8b"})
    assert [each["id"] for each in client.get("/models")["data"]] == ["llama3.1:8b", "org/model-7b"]
    name = "ft:gpt-3.5-turbo-1106:org::abc"
    assert client.get(f"/models/{name}") == ALIAS | {"id": name}


def test_a_server_without_a_list_leaves_the_aliases(served: ListServer, asking: Any) -> None:
    served.status = 404
    client = asking(served.server_port, {"gpt-4": "llama3.1:8b"})
    assert client.get("/models")["data"] == [ALIAS | {"created": 0}]


def test_a_server_that_is_away_is_said_to_be(served: ListServer, asking: Any) -> None:
    client = asking(free_port(), {"gpt-4": "m"})
    for path in ("/models", "/models/gpt-4"):
        response = client.client.get(path, headers=client.headers)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    served.status = 500
    client = asking(served.server_port, {})
    assert client.client.get("/models", headers=client.headers).status_code == 503
