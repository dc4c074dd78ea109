"""The SDKs install, and ask for the version of Assistants that the other tests take them for."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.sdks import SDKS, Sdk

pytestmark = pytest.mark.timeout(400)  # the first use installs

SCRIPTS = {
    "python": "import openai\nprint(openai.OpenAI().beta.threads.create().id)\n",
    "node": (
        'import OpenAI from "openai";\n'
        "const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });\n"
        "console.log((await client.beta.threads.create()).id);\n"
    ),
}


class Recorder(ThreadingHTTPServer):
    """Answers every POST with a thread, and keeps what it was sent."""

    seen: list[tuple[str, dict[str, str]]]


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        body = json.dumps({"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder(("127.0.0.1", 0), _Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
def test_asks_for_its_version(sdk: Sdk, recorder: Recorder, tmp_path: Path) -> None:
    script = tmp_path / f"source{sdk.suffix}"
    script.write_text(SCRIPTS[sdk.language])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    url = f"http://127.0.0.1:{recorder.server_port}/v1"
    ended = sdk.run(script, scratch, base_url=url, api_key="key")
    assert (ended.stdout, ended.returncode) == ("thread_1\n", 0), ended.stderr
    ((path, headers),) = recorder.seen
    assert path == "/v1/threads"
    assert headers["openai-beta"] == f"assistants={sdk.beta}"
    assert headers["authorization"] == "Bearer key"
