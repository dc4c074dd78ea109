"""A chat-completions server that does as little as can be done: ``python -m tests.bench.fake_model --port N``

It answers at once, with a fixed text or, offered a tool, first with one call of ``code_interpreter`` or, if
that is what is offered first, of ``file_search``.
"""

import argparse
import asyncio
import json
import re
from typing import Any, cast

import uvloop

REPLY = "This reply has a few words, each in a chunk of its own, as a model sends them."
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(data: bytes) -> bytes:
    line = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


def _chunk(delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [] if usage else [choice],
        "usage": usage,
    }
    return _event(json.dumps(chunk).encode())


def _reply(*deltas: dict[str, Any], finish: str) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": len(deltas), "total_tokens": 10 + len(deltas)}
    chunks = [_chunk({"role": "assistant", "content": ""}), *map(_chunk, deltas), _chunk({}, finish)]
    return b"".join([HEAD, *chunks, _chunk({}, usage=usage), _event(b"[DONE]"), b"0\r\n\r\n"])


def _call(name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    calls = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    return _reply({"tool_calls": calls}, finish="tool_calls")


TEXT = _reply(*({"content": f"{word} "} for word in REPLY.split()), finish="stop")
CALL = _call("code_interpreter", '{"code": "1+1"}')
SEARCH = _call("file_search", '{"queries": ["what cells do"]}')


class Exchange(asyncio.Protocol):
    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._received[:end])
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            request = json.loads(self._received[end + 4 : whole])
            self._received = self._received[whole:]
            calls = "tools" in request and request["messages"][-1]["role"] != "tool"
            search = calls and request["tools"][0]["function"]["name"] == "file_search"
            reply = SEARCH if search else CALL if calls else TEXT
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self._transport.write, reply)
            else:
                self._transport.write(reply)


async def serve(port: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Exchange(delay_s), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-s", type=float, default=0.0, help="how long it thinks")
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.delay_s))
