"""Files: upload, list, get, delete, content."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from services.gateway.auth import Caller, Door
from services.gateway.documents import ERRORS, UPLOAD, operation
from services.gateway.lookup import NoSuchFile, find_file
from services.gateway.paging import list_view
from services.gateway.settings import Settings
from services.gateway.stores.all import Stores
from services.gateway.upload import receive_file
from services.gateway.version import Version
from services.gateway.wire.files import INPUT, FileError, file_view
from services.gateway.wire.objects import FileDeleted, FileObject, ListAnswer
from shared import clock
from shared.files.library import Library
from shared.stores.page import PageQuery

MOST_LISTED = 10_000
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The bytes of the file.",
    }
}


def build_router(stores: Stores, library: Library, door: Door, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/files", tags=["Files"], responses=ERRORS)
    any_version = door.any_version

    @router.post("", response_model=FileObject, openapi_extra=operation(header=False) | UPLOAD)
    async def upload_file(request: Request, caller: Annotated[Caller, Depends(any_version)]) -> JSONResponse:
        file = await receive_file(request, library, caller, settings.max_file_bytes)
        return JSONResponse(file_view(file, caller.version))

    @router.get("", response_model=ListAnswer[FileObject], openapi_extra=operation(header=False))
    async def list_files(
        caller: Annotated[Caller, Depends(any_version)],
        purpose: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> JSONResponse:
        query = PageQuery(limit, order, after or None)
        if caller.version is Version.V1:
            return JSONResponse(await list_all(stores, caller, purpose or None))
        found, has_more = await stores.files.page(
            caller.project_id, query, purpose=purpose or None, now=clock.now()
        )
        return JSONResponse(list_view([file_view(each, caller.version) for each in found], has_more=has_more))

    @router.get("/{file_id}", response_model=FileObject, openapi_extra=operation(header=False))
    async def get_file(file_id: str, caller: Annotated[Caller, Depends(any_version)]) -> JSONResponse:
        return JSONResponse(file_view(await find_file(stores, caller, file_id), caller.version))

    @router.delete("/{file_id}", response_model=FileDeleted, openapi_extra=operation(header=False))
    async def delete_file(file_id: str, caller: Annotated[Caller, Depends(any_version)]) -> JSONResponse:
        if not await library.delete(await find_file(stores, caller, file_id)):
            raise NoSuchFile(file_id)  # somebody else was faster
        return JSONResponse({"object": "file", "deleted": True, "id": file_id})

    @router.get(
        "/{file_id}/content",
        response_class=StreamingResponse,
        responses=CONTENT,
        openapi_extra=operation(header=False),
    )
    async def get_file_content(
        file_id: str, caller: Annotated[Caller, Depends(any_version)]
    ) -> StreamingResponse:
        file = await find_file(stores, caller, file_id)
        if file["purpose"] in INPUT and not settings.allow_input_download:
            raise FileError(f"Not allowed to download files of purpose: {file['purpose']}")
        content = library.read(file)
        first = await anext(content, b"")  # here an error can still be answered
        headers = {
            "content-disposition": disposition(file["filename"]),
            "content-length": str(file["bytes"]),
            "x-content-type-options": "nosniff",
        }
        return StreamingResponse(
            whole(first, content), media_type="application/octet-stream", headers=headers
        )

    return router


async def list_all(stores: Stores, caller: Caller, purpose: str | None) -> dict[str, Any]:
    """v1 knows no pages."""
    query, has_more = PageQuery(MOST_LISTED), True
    data = []
    while has_more:
        found, has_more = await stores.files.page(caller.project_id, query, purpose=purpose, now=clock.now())
        data += [file_view(each, caller.version) for each in found]
        if found:
            query = replace(query, after=found[-1]["_id"])
    return {"object": "list", "has_more": False, "data": data}


def disposition(filename: str) -> str:
    """The header that names a download; a name beyond ASCII goes twice.

    >>> disposition('a"b.txt'), disposition("你.txt")
    ('attachment; filename="a_b.txt"', 'attachment; filename="_.txt"; filename*=UTF-8\\'\\'%E4%BD%A0.txt')
    """
    plain = "".join("_" if not " " <= each <= "~" or each in '"\\' else each for each in filename)
    named = f'attachment; filename="{plain}"'
    return named if filename.isascii() else f"{named}; filename*=UTF-8''{quote(filename, safe='')}"


async def whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
