"""An upload, from the body of the request to the finished file; see ``multipart.py`` for the form."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from services.gateway.auth import Caller
from services.gateway.multipart import Form, Part
from services.gateway.validation import invalid_request
from services.gateway.version import Version
from services.gateway.wire.files import Upload, UploadV1, check_purpose
from shared.errors import InvalidRequest
from shared.files.library import Arrival, Library
from shared.runs.model import Json
from shared.stores.database import Document

FORM_BYTES = 1 << 20  # that a form may have beside its file
SILENCE_S = 60.0


class FileTooLarge(InvalidRequest):
    status = 413


class ClientSilent(InvalidRequest):
    status = 408


async def receive_file(request: Request, library: Library, caller: Caller, max_bytes: int) -> Document:
    """Store the file of the form that ``request`` brings; its parts may come in any order.

    Raises:
        InvalidRequest: what is sent is no form, too large, or says what it may not. Nothing is kept.
    """
    if int(request.headers.get("content-length") or 0) > max_bytes + FORM_BYTES:
        raise too_large(max_bytes)
    form = Form(request.headers.get("content-type"), _limited(request, max_bytes))
    fields: Json = {}
    filename = None
    async with library.arrival(caller.project_id) as arrival:
        async for part in form.parts():
            if part.name == "file":
                filename = await _receive(part, arrival, filename, max_bytes)
            else:
                _set(fields, part.name, await part.text())
                if "purpose" in fields:
                    check_purpose(fields["purpose"], caller.version)
        if filename is None:
            raise InvalidRequest(
                "Missing required parameter: 'file'.", param="file", code="missing_required_parameter"
            )
        said = _checked(fields, caller.version)
        return await arrival.complete(
            purpose=said.purpose, filename=filename, expires_after_s=said.expires_after_s()
        )


def too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The file exceeds the maximum size of {max_bytes // 2**20} MB.", param="file")


async def _receive(part: Part, arrival: Arrival, earlier: str | None, max_bytes: int) -> str:
    if earlier is not None:
        raise InvalidRequest("Duplicate parameter: 'file'.", param="file")
    if not part.filename:
        message = "Invalid type for 'file': expected a file, but got a string instead."
        raise InvalidRequest(message, param="file", code="invalid_type")

    async def counted() -> AsyncIterator[bytes]:
        received = 0
        async for data in part.data():
            received += len(data)
            if received > max_bytes:
                raise too_large(max_bytes)
            yield data

    await arrival.write(counted())
    return part.filename


async def _limited(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, of a client that keeps sending, up to what a form with a file may have."""
    received = 0
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise ClientSilent(f"Nothing was received for {SILENCE_S:.0f} seconds.") from None
        if chunk is None:
            return
        received += len(chunk)
        if received > max_bytes + FORM_BYTES:
            raise too_large(max_bytes)
        if chunk:
            yield chunk


def _set(fields: Json, name: str, value: str) -> None:
    """``a[b]`` is the field ``b`` of the object ``a``.

    >>> fields = {}
    >>> _set(fields, "purpose", "assistants"); _set(fields, "expires_after[seconds]", "3600")
    >>> fields
    {'purpose': 'assistants', 'expires_after': {'seconds': '3600'}}
    """
    outer, bracket, inner = name.partition("[")
    if bracket and inner.endswith("]"):
        inside: Any = fields.setdefault(outer, {})
        if isinstance(inside, dict):
            inside[inner[:-1]] = value
    else:
        fields[name] = value


def _checked(fields: Json, version: Version) -> UploadV1:
    model = UploadV1 if version is Version.V1 else Upload
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), fields) from None
