"""The host's side against a driver that lies, floods or says nothing."""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.tool_code.sandbox import choose, session
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable, SessionClosed
from services.tool_code.sandbox.execution import describe
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.session import Session

Answer = Callable[["FakeChannel", dict[str, Any]], Awaitable[None]]
LIMITS = Limits(grace_s=0.1, start_timeout_s=0.5)


def frame(message: object, blob: bytes | None = None) -> bytes:
    body = json.dumps(message).encode()
    framed = struct.pack(">IB", len(body), 1) + body
    return framed if blob is None else framed + struct.pack(">IB", len(blob), 2) + blob


class FakeChannel:
    """A driver at the other end of the wire; ``answer`` is what it does with each request."""

    def __init__(self, answer: Answer) -> None:
        self.reader = asyncio.StreamReader()
        self.killed = False
        self._answer = answer

    async def send(self, data: bytes) -> None:
        if self.killed:
            raise ConnectionResetError
        (length, _) = struct.unpack_from(">IB", data)
        await self._answer(self, json.loads(data[5 : 5 + length]))

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.reader.feed_data(message)

    def kill(self) -> None:
        if not self.killed:
            self.killed = True
            self.reader.feed_eof()

    async def close(self) -> None:
        self.kill()

    def diagnosis(self) -> str:
        return "what it said"


async def opened(*answers: bytes, limits: Limits = LIMITS) -> tuple[Session, FakeChannel]:
    """A session whose driver answers "exec" with these bytes; ID stands for the call's id."""

    async def answer(channel: FakeChannel, request: dict[str, Any]) -> None:
        if request["op"] == "hello":
            channel.say(frame({"event": "ready"}))
        if request["op"] == "exec":
            for data in answers:
                channel.say(data)

    channel = FakeChannel(answer)
    return await Session.open("s", channel, limits), channel


def done(**fields: object) -> bytes:
    return frame({"event": "done", "id": 1, "status": "ok"} | fields)


async def test_a_call_collects_what_the_driver_sends() -> None:
    live, _ = await opened(
        frame({"event": "output", "id": 1}, "é".encode()[:1]),
        frame({"event": "output", "id": 1}, "é".encode()[1:]),
        frame({"event": "image", "id": 1, "kind": "image/png"}, b"png"),
        frame({"event": "output", "id": 1, "skipped": 7}, b"tail"),
        done(files=[["a", 1], ["../up", 1], "/abs", 5, ["b\n", 1]], gone=["c"]),
    )
    execution = await live.run("1", timeout_s=1)
    assert execution.logs == "é\n[... 7 bytes skipped ...]\ntail"
    assert (execution.status, execution.images, execution.files) == ("ok", (b"png",), ("a",))
    assert execution.gone == ("c",)
    await live.close()


@pytest.mark.parametrize(
    "broken",
    [
        frame([]),
        frame({"event": "what"}),
        frame({"event": ["done"]}),
        struct.pack(">IB", 1, 1) + b"{",
        struct.pack(">IB", 1, 2) + b"x",
        struct.pack(">IB", 1 << 30, 1),
        struct.pack(">IB", 100_000, 1) + b"[" * 100_000,
        frame({"event": "output", "id": 1}) + done(),
        done(status="great"),
        done(status=["ok"]),
        frame({"event": "output", "id": 1}, b"x" * 200_000),
        b"".join(frame({"event": "image", "id": 1}, b"x") for _ in range(17)),
        frame({"event": "image", "id": 1}, b"x" * (9 << 20)),
    ],
)
async def test_a_driver_that_breaks_the_protocol_is_killed(broken: bytes) -> None:
    live, channel = await opened(broken)
    execution = await live.run("1", timeout_s=5)
    assert (execution.status, execution.state_lost) == ("worker_died", True)
    assert "files are lost" in (execution.notice or "")
    assert channel.killed
    assert not live.alive
    with pytest.raises(SessionClosed):
        await live.run("1", timeout_s=5)
    await live.close()


async def test_what_belongs_to_another_call_is_dropped() -> None:
    live, _ = await opened(
        frame({"event": "output", "id": 9}, b"old"), frame({"event": "done", "id": 9, "status": "ok"}), done()
    )
    assert (await live.run("1", timeout_s=1)).logs == ""
    await live.close()


async def test_strange_fields_are_ignored() -> None:
    live, _ = await opened(
        done(error={"a": 1}, state_lost="yes", limit=[1], images_dropped="x", files={"a": 1}, gone=7)
    )
    execution = await live.run("1", timeout_s=1)
    assert (execution.status, execution.state_lost, execution.error, execution.files) == (
        "ok",
        False,
        None,
        (),
    )
    await live.close()


async def test_a_silent_driver_is_killed_at_the_hosts_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "OVERDUE_S", 0.1)
    live, channel = await opened()
    execution = await live.run("1", timeout_s=0.1)
    assert (execution.status, execution.state_lost, channel.killed) == ("timeout_killed", True, True)
    await live.close()


async def test_a_driver_that_never_gets_ready_is_reported_with_its_last_words() -> None:
    async def nothing(channel: FakeChannel, request: dict[str, Any]) -> None:
        return None

    channel = FakeChannel(nothing)
    with pytest.raises(SandboxStartFailed, match="what it said"):
        await Session.open("s", channel, LIMITS)
    assert channel.killed


async def test_code_that_is_too_long_is_not_sent() -> None:
    live, _ = await opened(limits=replace(LIMITS, code_bytes=10))
    execution = await live.run("x" * 11, timeout_s=1)
    assert execution.status == "error"
    assert "longer than 10 bytes" in (execution.notice or "")
    await live.close()


async def test_a_listener_that_fails_does_not_end_the_call() -> None:
    def broken(text: str) -> None:
        raise RuntimeError(text)

    live, _ = await opened(frame({"event": "output", "id": 1}, b"x"), done())
    assert (await live.run("1", timeout_s=1, on_output=broken)).logs == "x"
    await live.close()


def test_notices_say_what_became_of_the_variables() -> None:
    assert describe("ok", timeout_s=1, state_lost=False) is None
    killed = describe("timeout_killed", timeout_s=60, state_lost=True)
    assert killed is not None
    assert killed.endswith("Variables and imports are lost; files are kept.")
    full = describe("worker_died", timeout_s=60, state_lost=True, limit="memory")
    assert full is not None
    assert "more memory" in full


def nothing_works(*_: object) -> dict[choose.Preference, Callable[[], Any]]:
    def fail() -> Any:
        raise SandboxUnavailable("not here")

    return {"docker": fail, "bwrap": fail, "landlock": fail}


def test_without_any_sandbox_the_reasons_are_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(choose, "_candidates", nothing_works)
    found = choose.choose_backend("auto", limits=LIMITS, scratch=tmp_path, image="i", runtime=None)
    assert isinstance(found, choose.Unavailable)
    assert str(found) == "docker: not here; bwrap: not here; landlock: not here"


def test_a_sandbox_asked_for_by_name_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choose, "_candidates", nothing_works)
    with pytest.raises(SandboxUnavailable, match="the bwrap sandbox does not work: not here"):
        choose.choose_backend("bwrap", limits=LIMITS, scratch=tmp_path, image="i", runtime=None)
