"""What the scripted model of the tests can answer, and the behaviours that go by a model's name."""

import asyncio
import json
import re
import threading
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


class _Flag:
    """An event that any thread may set and any event loop may wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def set(self) -> None:
        with self._lock:
            self._is_set = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._is_set:
                return
            self._waiting.add(waiting)
        try:
            await waiting[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(waiting)


class Gate:
    """Holds a reply until the test opens it. Usable from any thread and any event loop."""

    def __init__(self) -> None:
        self._reached = _Flag()
        self._opened = _Flag()

    def open(self) -> None:
        self._opened.set()

    async def reached(self, *, within_s: float = 30.0) -> None:
        """Wait until a reply is held here.

        Raises:
            TimeoutError: none was within ``within_s`` seconds.
        """
        async with asyncio.timeout(within_s):
            await self._reached.wait()

    async def pass_through(self) -> None:
        """For the server: report the reply as held, and wait."""
        self._reached.set()
        await self._opened.wait()


@dataclass(frozen=True)
class Call:
    """A tool call; ``arguments`` is the text that is sent, valid JSON or not."""

    name: str
    arguments: str


def code(source: str) -> Call:
    return Call("code_interpreter", json.dumps({"code": source}))


def search(*queries: str) -> Call:
    return Call("file_search", json.dumps({"queries": queries}))


def function(name: str, **arguments: object) -> Call:
    return Call(name, json.dumps(arguments))


@dataclass(frozen=True)
class Reply:
    """One answer. Defaults are a correct one; each field below ``finish`` makes it a faulty one.

    A *chunk* is one event of a stream; the first one carries the role only. Without streaming,
    ``cut_after`` breaks the connection in the middle of the body.
    """

    deltas: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    delay_s: float = 0.0  # before each delta
    gate: Gate | None = None
    gate_before: int = 0  # index of the chunk, so 0 holds even the response's head
    usage: tuple[int, int] | None = (10, 5)  # prompt and completion tokens; None sends none
    finish: str | None = None  # instead of stop or tool_calls
    status: int = 200
    retry_after_s: float | None = None
    message: str = "scripted failure"
    cut_after: int | None = None  # chunks
    hangs: bool = False  # accepts the request and never answers
    has_choices: bool = True
    has_bad_line: bool = False  # a data line that is no JSON, in the middle of the stream
    splits_utf8: bool = False  # every byte comes in a packet of its own

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


def say(*deltas: str) -> Reply:
    return Reply(deltas=deltas)


def call(*calls: Call, say_first: str = "") -> Reply:
    return Reply(deltas=(say_first,) if say_first else (), calls=calls)


def fail(status: int, message: str = "scripted failure", *, retry_after_s: float | None = None) -> Reply:
    return Reply(status=status, message=message, retry_after_s=retry_after_s)


HOSTED = ("code_interpreter", "file_search")
NAMES = """\
echo                 repeat the last message; the outputs after tool calls
tool-code            run print(6 * 7), then echo the output
tool-functions       call each offered function once with {}, in parallel, then echo the outputs
slow-<n>             n deltas, 50 ms apart
fault-<status>       answer that HTTP status; fault-429-<s> with retry-after in seconds
fault-cut-<n>        break the connection after n chunks
fault-badargs        call the first tool with arguments that are no JSON
fault-calls-<n>      n parallel calls of the first tool
fault-loop           call the first tool for ever
fault-empty          no choices
fault-nousage        no usage
fault-badsse         a line that is no JSON
fault-hang           never answer
fault-length         finish reason length
fault-filter         finish reason content_filter
fault-utf8           text of several alphabets, byte by byte
"""
"""Model names with a meaning; any other is ``echo``. A fault ending in ``x<times>`` (``fault-429x2``,
``fault-cut-3x1``) strikes that many requests of one conversation, then the model is ``echo``."""

_NAME = re.compile(
    r"(?P<kind>tool-code|tool-functions|slow|fault-\d{3}|fault-(?:utf8|[a-wyz]+))(?:-(?P<n>\d+))?(?:x(?P<times>\d+))?"
)
_WORDS = "Grüße, 世界, мир, 👋🏽, שלום"


@dataclass
class NamedModel:
    """Answers by the model's name alone; counts the faults it has shown, per conversation."""

    _shown: dict[str, int] = field(default_factory=dict)

    def reply_to(self, body: Json) -> Reply:
        name = str(body.get("model", ""))
        match = _NAME.fullmatch(name)
        if match is None:
            return echo(body)
        if match["times"] is not None:
            conversation = name + json.dumps(_before_the_answer(body))
            shown = self._shown.get(conversation, 0)
            self._shown[conversation] = shown + 1
            if shown >= int(match["times"]):
                return echo(body)
        number = None if match["n"] is None else int(match["n"])
        return _by_kind(match["kind"], number, body)


def _by_kind(kind: str, number: int | None, body: Json) -> Reply:
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    first = tools[0] if tools else "no_such_tool"
    plain = echo(body)
    if kind[-3:].isdigit():
        return fail(int(kind[-3:]), retry_after_s=number)
    if kind in ("tool-code", "tool-functions", "fault-badargs", "fault-calls") and _has_outputs(body):
        return plain
    known = {
        "tool-code": call(code("print(6 * 7)"), say_first="I run it."),
        "tool-functions": call(*(function(name) for name in tools if name not in HOSTED)),
        "slow": Reply(deltas=tuple(f"word{i} " for i in range(number or 10)), delay_s=0.05),
        "fault-cut": replace(plain, cut_after=number or 0),
        "fault-badargs": call(Call(first, '{"code": "print(')),
        "fault-calls": call(*(_harmless(first) for _ in range(number or 2))),
        "fault-loop": call(_harmless(first)),
        "fault-empty": replace(plain, has_choices=False),
        "fault-nousage": replace(plain, usage=None),
        "fault-badsse": replace(plain, has_bad_line=True),
        "fault-hang": replace(plain, hangs=True),
        "fault-length": replace(plain, finish="length"),
        "fault-filter": replace(plain, finish="content_filter"),
        "fault-utf8": Reply(deltas=tuple(f"{word} " for word in _WORDS.split()), splits_utf8=True),
    }
    return known[kind]


def echo(body: Json) -> Reply:
    messages = body.get("messages") or [{}]
    if _has_outputs(body):
        said = "; ".join(_text(m) for m in _since_the_question(messages) if m.get("role") == "tool")
    else:
        said = _text(messages[-1])
    return Reply(deltas=tuple(re.findall(r"\s*\S+\s*", f"echo: {said}")))


def _harmless(tool: str) -> Call:
    hosted = {"code_interpreter": code("print(1)"), "file_search": search("anything")}
    return hosted.get(tool) or function(tool)


def _has_outputs(body: Json) -> bool:
    return any(message.get("role") == "tool" for message in _since_the_question(body.get("messages") or []))


def _since_the_question(messages: list[Json]) -> list[Json]:
    return messages[_end_of_question(messages) :]


def _before_the_answer(body: Json) -> list[Json]:
    messages: list[Json] = body.get("messages") or []
    return messages[: _end_of_question(messages)]


def _end_of_question(messages: list[Json]) -> int:
    return max((i + 1 for i, message in enumerate(messages) if message.get("role") == "user"), default=0)


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
