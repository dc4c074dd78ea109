"""Requests made up from our OpenAPI document, good and bad: no fault of the server, no undocumented status.

Bounded and with a fixed seed: v2 meets the limits that the document names, v1 some random requests.
Ids in paths are those of real objects, except where an object is deleted.
"""

import asyncio
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.gateway.openapi import text
from tests.integration.running_gateway import KEY, V1, V2, Worker, api, running_gateway
from tests.processes import beside_python

BUDGET_S = 17
FEWEST = 10  # operations, on a busy machine
PHASES = {
    "v1": ["--phases", "fuzzing", "--max-examples", "8"],
    "v2": ["--phases", "coverage"],
}
# No part of the API; and searches, which nobody answers here: that is a 503 by right.
NOT_ASKED = "^/(livez|readyz)$|/search$"
NO_SUCH = {"assistant_id": "asst_x", "thread_id": "thread_x", "message_id": "msg_x", "file_id": "file-x"}
NO_SUCH |= {"vector_store_id": "vs_x"}


class NoModels(BaseHTTPRequestHandler):
    """A model's server without a list of its models."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoModels) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str, database: str, model_url: str) -> Iterator[str]:
    models = {"model_url": model_url, "model_aliases": {"gpt-4": "m"}}
    with running_gateway(kafka_bootstrap, mongo_url, database, **models) as url:
        yield url


def things(url: str, mongo_url: str, database: str) -> dict[str, str]:
    """One of everything, by the names of the parameters of paths."""
    client = api(url, V1)
    file = client.client.post(
        "/files", headers=client.headers, files={"file": ("a", b"a")}, data={"purpose": "assistants"}
    ).json()["id"]
    assistant = client.assistant(tools=[{"type": "code_interpreter"}], file_ids=[file])
    thread = client.thread("hi")
    message = client.post(f"/threads/{thread}/messages", {"role": "user", "content": "x", "file_ids": [file]})
    run = client.post(f"/threads/{thread}/runs", {"assistant_id": assistant})["id"]
    asyncio.run(finish(mongo_url, database, run))
    v2 = {**client.headers, **V2}
    store = client.client.post("/vector_stores", headers=v2, json={"file_ids": [file]}).json()["id"]
    path = f"/vector_stores/{store}/file_batches"
    batch = client.client.post(path, headers=v2, json={"file_ids": [file]}).json()["id"]
    step = client.get(f"/threads/{thread}/runs/{run}/steps")["data"][0]["id"]
    client.client.close()
    ids = {"assistant_id": assistant, "thread_id": thread, "message_id": message["id"]}
    ids |= {"vector_store_id": store, "batch_id": batch}
    return {**ids, "run_id": run, "step_id": step, "file_id": file, "model": "gpt-4"}


async def finish(mongo_url: str, database: str, run: str) -> None:
    worker = Worker(mongo_url, database)
    await worker.finish(run)
    worker.close()


def configuration(ids: dict[str, str], version: str) -> str:
    """Every operation is called with these ids; those that delete, with ids of nothing."""

    def table(values: dict[str, str]) -> str:
        named = (f'"path.{name}" = {json.dumps(value)}' for name, value in values.items())
        return "\n".join(named)

    beta = f'"header.OpenAI-Beta" = "assistants={version}"'
    deleting = f'[[operations]]\ninclude-method = "DELETE"\n[operations.parameters]\n{table(NO_SUCH)}\n{beta}'
    return f"[parameters]\n{table(ids)}\n{beta}\n{deleting}\n"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_made_up_requests_meet_no_fault(
    url: str, mongo_url: str, database: str, version: str, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text(text())
    config = tmp_path / "schemathesis.toml"
    config.write_text(configuration(things(url, mongo_url, database), version))
    command = [beside_python("schemathesis"), "--config-file", str(config), "run", "openapi.json"]
    command += ["--url", url, "--header", f"Authorization: Bearer {KEY}", "--exclude-path-regex", NOT_ASKED]
    command += ["--checks", "not_a_server_error,status_code_conformance", *PHASES[version]]
    command += ["--seed", "1", "--max-time", str(BUDGET_S), "--generation-database", "none"]
    command += ["--continue-on-failure", "--no-color", "--warnings", "off", "--output-sanitize", "false"]
    environment = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", "HOME": str(tmp_path)}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout[-8000:]}\n{ended.stderr[-2000:]}"
    tested = re.search(r"Tested: (\d+)", ended.stdout)
    assert tested is not None, ended.stdout
    assert int(tested[1]) >= FEWEST, ended.stdout
