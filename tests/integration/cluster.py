"""What tool_code sees of a Kubernetes with agent-sandbox: an API server for claims, pods on local addresses.

Neither is in it: a claim is ready when its pod listens, and gone when that has ended. A pod is the listener
in a bubblewrap that has the machine's network.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from services.tool_code.sandbox.bwrap import BwrapBackend
from services.tool_code.sandbox.driver.start import start_command
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.runtime import Runtime
from tests.processes import free_port

WATCHED_S = 60.0


@dataclass
class Cluster:
    """``claims`` are those that are not deleted; ``pods`` all that ever were."""

    runtime: Runtime
    limits: Limits
    secret: str
    port: int
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    refusing: str = ""  # the reason of the claims that come now
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        status: dict[str, Any] = {}
        if self.refusing:
            condition = {"type": "Ready", "status": "False", "reason": self.refusing, "message": "no"}
            status = {"conditions": [condition]}
        with self.lock:
            self.claims[name] = body | {"status": status}
            body["metadata"] |= {"uid": name, "resourceVersion": "1"}
        if not self.refusing:
            threading.Thread(target=self._run_pod, args=(name,), daemon=True).start()
        return self.claims[name]

    def delete(self, name: str) -> bool:
        with self.lock:
            claim = self.claims.pop(name, None)
            pod = self.pods.get(name)
        if pod:
            pod.kill()
            pod.wait()
        return claim is not None

    def _run_pod(self, name: str) -> None:
        with self.lock:
            address = f"127.0.{os.getpid() % 200 + 20}.{len(self.pods) + 2}"
            pod = self.pods[name] = subprocess.Popen(self._command(address), cwd="/")
            if name not in self.claims:
                pod.kill()
        while pod.poll() is None and not _listens(address, self.port):
            time.sleep(0.02)
        with self.lock:
            if claim := self.claims.get(name):
                claim["metadata"]["resourceVersion"] = "2"
                claim["status"] = {
                    "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}],
                    "sandbox": {"name": f"warm-{name}", "podIPs": [address]},
                }
        pod.wait()
        with self.lock:
            self.claims.pop(name, None)  # its time to live after its end is 0

    def _command(self, address: str) -> list[str]:
        wall = BwrapBackend(self.runtime, self.limits)._wall(as_root=False)
        wall.remove("--unshare-net")
        environment = {"SANDBOX_SECRET": self.secret, "POD_IP": address, "SANDBOX_PORT": str(self.port)}
        for item in environment.items():
            wall += ["--setenv", *item]
        command = start_command(sys.executable, self.runtime.driver_root, "listen")
        return [*wall, "--uid", "10001", "--gid", "10001", *command]


class _Handler(BaseHTTPRequestHandler):
    """The few requests that the client of agent-sandbox makes about claims."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def do_POST(self) -> None:
        self._answer(201, self.cluster.claim(self._body()))

    def do_PATCH(self) -> None:
        claim = self.cluster.claims.get(self._name)
        if claim is None:
            self._answer(404, {})
        else:
            claim["spec"] |= self._body()["spec"]
            self._answer(200, claim)

    def do_DELETE(self) -> None:
        self._answer(200 if self.cluster.delete(self._name) else 404, {})

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "watch" in asked:
            self._watch(asked["fieldSelector"][0].removeprefix("metadata.name="))
        elif self._name:
            claim = self.cluster.claims.get(self._name)
            self._answer(200 if claim else 404, claim or {})
        else:
            self._answer(200, {"items": list(self.cluster.claims.values())})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test that fails shows what is wrong."""

    @property
    def _name(self) -> str:
        return urlsplit(self.path).path.partition("/sandboxclaims")[2].strip("/")

    def _watch(self, name: str) -> None:
        """Each state of the claim as a chunk, until it is deleted."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        seen = json.dumps({"metadata": {"name": name}})
        deadline = time.monotonic() + WATCHED_S
        with suppress(OSError):  # nobody watches any more
            while seen != "null" and time.monotonic() < deadline:
                with self.cluster.lock:
                    now = json.dumps(self.cluster.claims.get(name))
                if now != seen:
                    gone = now == "null"
                    event = {
                        "type": "DELETED" if gone else "MODIFIED",
                        "object": json.loads(seen if gone else now),
                    }
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    seen = now
                time.sleep(0.01)
            self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def cluster(runtime: Runtime, limits: Limits, folder: Path) -> Iterator[Cluster]:
    """One that the client finds; skips where there is no bubblewrap to make pods of."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed: nothing to make pods of")
    running = Cluster(runtime, limits, secret="of the pool", port=free_port())
    handler = type("Handler", (_Handler,), {"cluster": running})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    try:
        with pytest.MonkeyPatch.context() as patch:
            # KUBECONFIG would be read when the client is imported.
            patch.setattr(
                "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig")
            )
            yield running
    finally:
        for name in list(running.pods):
            running.delete(name)
        server.shutdown()
        server.server_close()
        thread.join()


def _listens(address: str, port: int) -> bool:
    """Without connecting: a connection would be one that the listener has to wait out."""
    wanted = "".join(f"{int(part):02X}" for part in reversed(address.split("."))) + f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in lines[1:])
