"""A scripted ``/v1/embeddings`` for tests: HTTP on a free port, in threads of its own.

A text's vector counts its words, each in the place that the word's hash names; so equal words are near.
"""

import json
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Fault:
    """What one request is answered instead."""

    status: int
    body: bytes = b'{"error": {"message": "no"}}'
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class EmbeddingServer:
    url: str = ""
    size: int = 0  # of the vectors, whatever is asked for; 0: as asked for
    takes_dimensions: bool = True
    faults: deque[Fault] = field(default_factory=deque)
    bodies: list[Json] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def answer(self, body: Json) -> Fault:
        self.bodies.append(body)
        if self.faults:
            return self.faults.popleft()
        if "dimensions" in body and not self.takes_dimensions:
            return Fault(400, b'{"error": {"message": "This model does not take dimensions."}}')
        size = self.size or body["dimensions"]
        data = [
            {"object": "embedding", "index": place, "embedding": _vector(text, size)}
            for place, text in enumerate(body["input"])
        ]
        whole = {"object": "list", "model": body["model"], "data": data[::-1]}  # in whatever order
        return Fault(200, json.dumps(whole).encode())


def _vector(text: str, size: int) -> list[float]:
    vector = [0.0] * size
    for word in text.lower().split():
        vector[zlib.crc32(word.strip(".,?").encode()) % size] += 1.0
    return vector


@contextmanager
def embedding_server(scripted: EmbeddingServer | None = None) -> Iterator[EmbeddingServer]:
    told = scripted or EmbeddingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.paths.append(self.path)
            told.keys.append(self.headers.get("authorization"))
            answer = told.answer(body)
            self.send_response(answer.status)
            headers = {"content-type": "application/json", "content-length": str(len(answer.body))}
            for name, value in {**headers, **answer.headers, "connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
