"""A scripted model endpoint for tests: HTTP on a free port, in a thread of its own.

The service under test may run in this process or in another. Usage::

    async with ModelServer() as model:
        model.script(say("Hi ", "there"), fail(429), call(code("print(1)")))
        ...  # point the service at model.url, with any key
        assert model.requests[0].body["messages"][-1]["content"] == "Hello"

Scripted replies are used up in order, those for one model name before those for any. What no
script answers is answered by the model's name (``tests/model_script.py: NAMES``). Requests that
the real API would refuse, because tool calls and tool messages do not belong together, get 400.
"""

import asyncio
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.model_script import Json, NamedModel, Reply

_END_S = 5.0  # how long stopping may take


@dataclass
class Request:
    body: Json
    headers: dict[str, str]
    arrived_at: float  # time.monotonic()
    reply: Reply
    client_left: bool = False  # the client closed the connection before the answer was complete
    ended_at: float | None = None  # as arrived_at; None while it is being answered

    @property
    def model(self) -> str:
        return str(self.body.get("model"))


@dataclass
class ModelServer:
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    _queues: defaultdict[str | None, deque[Reply]] = field(default_factory=lambda: defaultdict(deque))
    _named: NamedModel = field(default_factory=NamedModel)
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *replies: Reply, model: str | None = None) -> None:
        """Queue replies, for one model name or for any. May be called while requests come in."""
        self._queues[model].extend(replies)

    @property
    def unused(self) -> int:
        """Number of scripted replies that nobody has asked for yet."""
        return sum(len(queue) for queue in self._queues.values())

    def start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve(started)], daemon=True)
        self._thread.start()
        assert started.wait(_END_S), "the model server did not start"

    def stop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_END_S)
        assert not self._thread.is_alive(), "the model server did not stop"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)  # aborted connections close in the next round of the loop

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve_one(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._open.discard(task)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request and close: then a broken connection harms no other request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if not target.startswith("POST ") or "/chat/completions" not in target:
            await _send_json(writer, *_other_route(target))
            return
        request = self._record(json.loads(body), headers)
        if (complaint := _complaint(request.body)) is not None:
            await _send_json(writer, 400, _error(complaint))
            return
        # The client sends nothing more, so the end of its data means that it has left.
        left = asyncio.create_task(reader.read())
        answer = asyncio.create_task(_answer(writer, request))
        try:
            await asyncio.wait({left, answer}, return_when=asyncio.FIRST_COMPLETED)
            request.client_left = not answer.done() or isinstance(answer.exception(), ConnectionError)
            if answer.done():
                answer.result()
        finally:
            request.ended_at = time.monotonic()
            for task in (left, answer):
                task.cancel()
            await asyncio.gather(left, answer, return_exceptions=True)

    def _record(self, body: Json, headers: dict[str, str]) -> Request:
        queue = self._queues[str(body.get("model"))] or self._queues[None]
        reply = queue.popleft() if queue else self._named.reply_to(body)
        request = Request(body, headers, time.monotonic(), reply)
        self.requests.append(request)
        return request


async def _answer(writer: asyncio.StreamWriter, request: Request) -> None:
    reply = request.reply
    if reply.hangs:
        await asyncio.Event().wait()
    if reply.gate is not None and reply.gate_before == 0:
        await reply.gate.pass_through()
    if reply.status != 200:
        extra = {} if reply.retry_after_s is None else {"retry-after": f"{reply.retry_after_s:g}"}
        await _send_json(writer, reply.status, _error(reply.message), extra)
    elif request.body.get("stream"):
        await _stream(writer, request)
    else:
        await asyncio.sleep(reply.delay_s * len(reply.deltas))
        await _send_json(writer, 200, _completion(request), cut=reply.cut_after is not None)


async def _stream(writer: asyncio.StreamWriter, request: Request) -> None:
    reply = request.reply
    writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
    for index, line in enumerate(_lines(request)):
        if reply.cut_after is not None and index >= reply.cut_after:
            await writer.drain()
            writer.close()  # without the last chunk of the encoding: the body is incomplete
            return
        if reply.gate is not None and index == reply.gate_before > 0:
            await writer.drain()
            await reply.gate.pass_through()
        if 0 < index <= len(reply.deltas):
            await asyncio.sleep(reply.delay_s)
        async for packet in _packets(f"data: {line}\n\n".encode(), one_by_one=reply.splits_utf8):
            writer.write(f"{len(packet):x}\r\n".encode() + packet + b"\r\n")
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _packets(data: bytes, *, one_by_one: bool) -> AsyncIterator[bytes]:
    if not one_by_one:
        yield data
        return
    for i in range(len(data)):
        yield data[i : i + 1]
        await asyncio.sleep(0)  # so that each byte is written, and mostly sent, by itself


def _lines(request: Request) -> Iterator[str]:
    reply = request.reply
    for index, (delta, finish) in enumerate(_deltas(request)):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        yield json.dumps(_envelope(request, "chunk") | {"choices": [choice] if reply.has_choices else []})
        if index == 0 and reply.has_bad_line:
            yield '{"id": "chatcmpl-broken", "choices": [{"ind'
    wants_usage = (request.body.get("stream_options") or {}).get("include_usage")
    if wants_usage and reply.usage is not None:
        yield json.dumps(_envelope(request, "chunk") | {"choices": [], "usage": _usage(reply.usage)})
    yield "[DONE]"


def _deltas(request: Request) -> Iterator[tuple[Json, str | None]]:
    reply = request.reply
    yield {"role": "assistant", "content": ""}, None
    for delta in reply.deltas:
        yield {"content": delta}, None
    for index, call in enumerate(_calls(request)):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield {"tool_calls": [call | {"index": index, "function": {"name": name, "arguments": ""}}]}, None
        middle = len(arguments) // 2
        for piece in (arguments[:middle], arguments[middle:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, reply.finish_reason


def _completion(request: Request) -> Json:
    reply = request.reply
    message: Json = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = _calls(request)
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    whole = _envelope(request, "completion") | {"choices": [choice] if reply.has_choices else []}
    return whole if reply.usage is None else whole | {"usage": _usage(reply.usage)}


def _calls(request: Request) -> list[Json]:
    return [
        # Ids are like those of the many servers that number calls anew in each reply.
        {"id": f"call_{index}", "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for index, c in enumerate(request.reply.calls)
    ]


def _envelope(request: Request, kind: str) -> Json:
    name = "chat.completion" if kind == "completion" else "chat.completion.chunk"
    return {"id": "chatcmpl-test", "object": name, "created": 1, "model": request.model}


def _usage(counts: tuple[int, int]) -> Json:
    return {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "scripted", "param": None, "code": None}}


def _other_route(target: str) -> tuple[int, Json]:
    if target.startswith("GET ") and "/models" in target:
        return 200, {
            "object": "list",
            "data": [{"id": "echo", "object": "model", "created": 1, "owned_by": "tests"}],
        }
    return 404, _error(f"no such route: {target}")


def _complaint(body: Json) -> str | None:
    """Say what the real API would about messages; it is the service's duty to keep them in order."""
    awaited: list[str] = []
    for message in body.get("messages") or ():
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in awaited:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            awaited.remove(message["tool_call_id"])
        elif awaited:
            break
        else:
            awaited = [call["id"] for call in message.get("tool_calls") or ()]
    return f"no tool message answers {', '.join(awaited)}" if awaited else None


async def _send_json(
    writer: asyncio.StreamWriter,
    status: int,
    body: Json,
    extra: dict[str, str] | None = None,
    *,
    cut: bool = False,
) -> None:
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(data))} | (extra or {})
    writer.write(_head(status, headers) + (data[: len(data) // 2] if cut else data))
    await writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
