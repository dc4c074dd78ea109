"""What the docker sandbox says to a daemon before it is chosen; the daemon is played."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from services.tool_code.sandbox.docker import DockerBackend
from services.tool_code.sandbox.errors import SandboxUnavailable
from services.tool_code.sandbox.limits import Limits


@pytest.mark.parametrize(("oldest", "newest"), [("1.12", "1.41"), ("1.44", "1.52")])
def test_it_speaks_the_version_of_the_daemon(
    oldest: str, newest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with daemon(tmp_path / "docker.sock", oldest, newest) as asked:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        with pytest.raises(SandboxUnavailable, match="there is no image threadmill/sandbox"):
            DockerBackend("threadmill/sandbox", None, Limits())
    assert asked == ["/version", f"/v{newest}/images/threadmill/sandbox/json"]


def test_it_says_why_a_daemon_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon(tmp_path / "docker.sock", "9.0", "1.52"):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        with pytest.raises(SandboxUnavailable, match="is too old"):
            DockerBackend("threadmill/sandbox", None, Limits())


def test_a_daemon_without_limits_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon(tmp_path / "docker.sock", "1.44", "1.52", info={"MemoryLimit": True, "PidsLimit": False}):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        with pytest.raises(SandboxUnavailable, match="cannot limit containers: PidsLimit"):
            DockerBackend("threadmill/sandbox", None, Limits())


@contextmanager
def daemon(
    path: Path, oldest: str, newest: str, *, info: dict[str, bool] | None = None
) -> Iterator[list[str]]:
    """One that speaks these versions; gives what it is asked. With ``info`` it has the image, too."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            version = self.path.split("/")[1].removeprefix("v")
            if self.path == "/version":
                self._answer(200, f'{{"ApiVersion": "{newest}", "MinAPIVersion": "{oldest}"}}')
            elif _number(version) < _number(oldest):
                self._answer(400, f'{{"message": "client version {version} is too old"}}')
            elif info is not None:
                self._answer(200, json.dumps(info if self.path.endswith("/info") else {"Id": "sha256:ab"}))
            else:
                self._answer(404, '{"message": "No such image"}')

        def _answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def address_string(self) -> str:
            return "a socket"

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingUnixStreamServer(str(path), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield asked
        finally:
            server.shutdown()
            serving.join()


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
