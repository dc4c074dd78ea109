"""The middleware around every request: headers, the last resort, and streams that are not held back."""

import asyncio
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.gateway.headers import ResponseHeaders

SCOPE = {"type": "http", "method": "GET", "path": "/v1/threads", "headers": []}


async def nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def answer_of(app: ResponseHeaders) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(dict(SCOPE), nothing, send)
    return sent


async def start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_a_failure_becomes_the_500_of_the_api_with_the_id_of_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    with caplog.at_level(logging.ERROR):
        first, body = await answer_of(ResponseHeaders(broken))
    assert first["status"] == 500
    request_id = dict(first["headers"])[b"x-request-id"].decode()
    assert f"Please include the request ID {request_id} in your email.".encode() in body["body"]
    assert b'"type":"server_error"' in body["body"]
    assert b"secret" not in body["body"]
    assert "a request failed" in caplog.text


async def test_half_an_answer_is_not_followed_by_another() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        await answer_of(ResponseHeaders(broken))


async def test_each_piece_of_a_stream_leaves_at_once() -> None:
    sent: list[Message] = []
    seen: list[int] = []

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for n in range(3):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            seen.append(len(sent) - 1 - n)

    async def send(message: Message) -> None:
        sent.append(message)

    await ResponseHeaders(streaming)(dict(SCOPE), nothing, send)
    assert seen == [1, 1, 1]


async def test_the_id_of_the_request_is_in_what_is_logged_inside(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="services.gateway.headers"):

        async def fine(scope: Scope, receive: Receive, send: Send) -> None:
            await start(send)

        await answer_of(ResponseHeaders(fine))
    [record] = [record for record in caplog.records if record.message == "answered"]
    fields = vars(record)
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/v1/threads", 200)
