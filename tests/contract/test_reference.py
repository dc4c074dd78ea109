"""What the gateway answers is what the original's OpenAPI documents say, but for what is listed here."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.reference import (
    Beta,
    Deviation,
    deviations,
    error_deviations,
    event_deviations,
    operations,
)
from tests.contract.tour import Seen, Tour, Worked
from tests.integration.retrieval_stand_in import RESULT, searching
from tests.integration.running_gateway import running_gateway

BETAS: tuple[Beta, ...] = ("v1", "v2")
OURS = Path(__file__).parents[2] / "docs" / "openapi.json"
NOT_JSON = {"GET /files/{file_id}/content"}
ONLY_OURS = {
    "GET /threads",
    "GET /threads/{thread_id}/runs/{run_id}/events",
    "GET /threads/{thread_id}/runs/{run_id}/diagnosis",
}  # the extensions
ALWAYS_REFUSED = {"DELETE /models/{model}"}  # for fine-tuned models, which there are none of

RECORDED = "the original's recorded answers have it so"
EMPTY = "an empty list has no first and no last member: the original's recorded answers have null there"
LATER = "added to v1 after its document was written, with v2; a v1 client passes over it"
DEVIATIONS = {
    Deviation("v1", "assistant", "", "response_format is not listed"): LATER,
    Deviation("v1", "assistant", "", "temperature is not listed"): LATER,
    Deviation("v1", "assistant", "", "top_p is not listed"): LATER,
    Deviation("v1", "list", "", "has_more is not listed"): f"the list of files: {RECORDED}",
    Deviation("v1", "file", "status_details", "is NoneType"): f"deprecated; {RECORDED}",
    Deviation("v2", "file", "status_details", "is NoneType"): f"deprecated; {RECORDED}",
    Deviation("v2", "file", "expires_at", "is NoneType"): f"a file that does not expire: {RECORDED}",
    Deviation("v1", "list", "first_id", "is NoneType"): EMPTY,
    Deviation("v1", "list", "last_id", "is NoneType"): EMPTY,
    Deviation("v2", "list", "first_id", "is NoneType"): EMPTY,
    Deviation("v2", "list", "last_id", "is NoneType"): EMPTY,
    Deviation("v1", "thread.run.step", "", "expires_at is not listed"): f"beside expired_at: {RECORDED}",
    Deviation("v2", "thread.run.step", "", "expires_at is not listed"): f"beside expired_at: {RECORDED}",
    Deviation("v2", "assistant", "", "reasoning_effort is not listed"): RECORDED,
    Deviation("v2", "vector_store", "", "description is not listed"): RECORDED,
    Deviation("v2", "vector_store", "name", "is NoneType"): RECORDED,
    Deviation("v2", "vector_store", "expires_after", "is NoneType"): RECORDED,
    Deviation("v2", "vector_store.file_batch", "object", "enum fails"): RECORDED,
    Deviation("v2", "thread.run", "", "reasoning_effort is not listed"): RECORDED,
    Deviation("v2", "thread.run", "", "tool_resources is not listed"): RECORDED,
}


class Models(BaseHTTPRequestHandler):
    """A model's server without a list of its models: the aliases are left."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def seen(kafka_bootstrap: str, mongo_url: str, model_url: str) -> Seen:
    seen, database = Seen(), f"gateway_{uuid4().hex[:12]}"

    async def tour(url: str) -> None:
        worker = Worked(mongo_url, database)
        for beta in BETAS:
            await Tour(url, beta, seen, worker).all()
        worker.close()

    models = {"model_url": model_url, "model_aliases": {"gpt-4": "m"}}
    with (
        running_gateway(kafka_bootstrap, mongo_url, database, **models) as url,
        searching(kafka_bootstrap, mongo_url, database) as searcher,
    ):
        searcher.results = [RESULT]
        asyncio.run(tour(url))
    return seen


def found_in(seen: Seen) -> set[Deviation]:
    found: set[Deviation] = set()
    for beta, operation, answer in seen.answers:
        found.update(deviations(beta, operation, answer))
    for beta, name, data in seen.events:
        found.update(event_deviations(beta, name, data))
    for beta, error in seen.errors:
        found.update(error_deviations(beta, error))
    return found


def test_answers_deviate_from_the_documents_only_as_listed(seen: Seen) -> None:
    found = found_in(seen)
    assert sorted(map(str, found - DEVIATIONS.keys())) == []
    assert sorted(map(str, DEVIATIONS.keys() - found)) == [], "they do not deviate any more"


def test_every_operation_that_is_served_was_called(seen: Seen) -> None:
    paths = json.loads(OURS.read_text())["paths"]
    served = {
        f"{method.upper()} {path.removeprefix('/v1')}"
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/v1/")
    }
    known = {beta: operations(beta) for beta in BETAS}
    assert served - known["v1"] - known["v2"] == ONLY_OURS
    for beta in BETAS:
        called = {operation for version, operation, _ in seen.answers if version == beta}
        assert (served & known[beta]) - called == NOT_JSON | ALWAYS_REFUSED


def test_every_kind_of_event_was_seen(seen: Seen) -> None:
    kinds = {name.rpartition(".")[0] or name for _, name, _ in seen.events}
    assert kinds == {"thread", "thread.run", "thread.run.step", "thread.message", "done"}


def test_what_deviates_is_noticed() -> None:
    answer = {"id": 1, "object": "thread", "created_at": None, "metadata": {}, "tool_resources": {}, "x": 1}
    found = deviations("v2", "GET /threads/{thread_id}", answer)
    assert sorted(str(each).removeprefix("v2 thread ") for each in found) == [
        "(itself): x is not listed",
        "created_at: is NoneType",
        "id: is int",
    ]
