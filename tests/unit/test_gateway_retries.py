"""What the SDKs are told about sending a request again."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.gateway.attempt import Attempt
from services.gateway.headers import ResponseHeaders


async def nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("method", "noted", "status", "told"),
    [
        ("POST", False, 500, b"false"),  # whether it was done is not known
        ("POST", True, 500, None),  # it would be taken up again
        ("GET", False, 500, None),
        ("POST", False, 503, b"true"),
        ("GET", False, 503, b"true"),
        ("POST", False, 400, None),
        ("POST", False, 200, None),
    ],
)
async def test_it_is_told_where_it_would_do_harm_or_is_sure_to_help(
    method: str, noted: bool, status: int, told: bytes | None
) -> None:
    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if noted:
            scope["attempt"] = Attempt()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/v1/threads", "headers": []}
    await ResponseHeaders(answering)(scope, nothing, send)
    assert dict(sent[0]["headers"]).get(b"x-should-retry") == told
