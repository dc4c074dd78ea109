"""Request bodies: read up to a limit, parsed, checked against the model of the request's version."""

import json
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.validation import invalid_request
from services.gateway.version import Version
from services.gateway.wire.fields import RequestBody
from shared.errors import InvalidRequest

A = TypeVar("A", bound=RequestBody)
B = TypeVar("B", bound=RequestBody)

DEEPEST = 80  # the store nests 100 levels, some of which are ours
LARGEST_INTEGER = 2**63
UPLOADS = ("/v1/files", "/files")

NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
    "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. "
    "If you have trouble figuring out how to fix this, please contact us through our help center "
    "at help.openai.com.)"
)
NOT_STORABLE = "The JSON body of your request holds {}, which this server cannot store."


class BodyTooLarge(InvalidRequest):
    status = 413


class BodyLimit:
    """Refuses a body of more than ``max_bytes`` as soon as that is known; uploads have their own limit."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") in UPLOADS:
            await self._app(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise BodyTooLarge(f"Maximum request size is {self._max_bytes} bytes.")
            return message

        await self._app(scope, receive_counted, send)


async def read_body(request: Request, version: Version, v1: type[A], v2: type[B]) -> A | B:
    """Return the body of ``request``; none at all counts as an empty object.

    Raises:
        InvalidRequest: it is no JSON, or says what it may not; in the words of the API.
    """
    body = parse(await request.body())
    try:
        return v1.model_validate(body) if version is Version.V1 else v2.model_validate(body)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), body) from None


def parse(raw: bytes) -> Any:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair cannot be answered either
    except (ValueError, RecursionError):
        raise InvalidRequest(NOT_JSON) from None
    _require_storable(body, DEEPEST)
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _require_storable(value: Any, levels_left: int) -> None:
    if levels_left == 0:
        raise InvalidRequest(NOT_STORABLE.format("more levels than it should"))
    if isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        raise InvalidRequest(NOT_STORABLE.format("an integer of more than 64 bits"))
    if isinstance(value, dict):
        for name, member in value.items():
            if "\0" in name:
                raise InvalidRequest(NOT_STORABLE.format("a name with a null character"))
            _require_storable(member, levels_left - 1)
    elif isinstance(value, list):
        for member in value:
            _require_storable(member, levels_left - 1)
