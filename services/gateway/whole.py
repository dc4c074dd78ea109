"""A request's body read before the route reads it."""

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive


async def read_whole(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body, and a ``receive`` that gives it once more.

    Raises:
        ClientDisconnect: the client left before it had sent everything.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    body = b"".join(chunks)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again
