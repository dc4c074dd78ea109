"""Files of a vector store: add, list, get, set attributes, content, remove."""

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_vector_store, find_vector_store_file, no_file_in
from services.gateway.paging import Paging, list_view
from services.gateway.routes import answers
from services.gateway.settings import Settings
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.objects import ListAnswer
from services.gateway.wire.vector_store_objects import (
    FileContentPage,
    VectorStoreFileDeleted,
    VectorStoreFileObject,
)
from services.gateway.wire.vector_stores import (
    NewFile,
    SetAttributes,
    content_view,
    vector_store_file_view,
)

StatusFilter: TypeAlias = Annotated[
    Literal["in_progress", "completed", "failed", "cancelled"] | None,
    Query(alias="filter", description="Only files of this status."),
]


def build_router(stores: Stores, shelves: Shelves, door: Door, settings: Settings) -> APIRouter:
    router = APIRouter(
        prefix="/vector_stores/{vector_store_id}/files", tags=["Vector stores"], responses=ERRORS
    )
    _add_reading(router, stores, door, settings)
    _add_changes(router, stores, shelves, door, settings)
    return router


def _add_reading(router: APIRouter, stores: Stores, door: Door, settings: Settings) -> None:
    v2 = door.v2_or_unsaid

    @router.get("", response_model=ListAnswer[VectorStoreFileObject], openapi_extra=operation(v2_only=True))
    async def list_vector_store_files(
        vector_store_id: str,
        caller: Annotated[Caller, Depends(v2)],
        paging: Paging,
        status: StatusFilter = None,
    ) -> JSONResponse:
        await find_vector_store(stores, caller, vector_store_id)
        found, has_more = await stores.vector_store_files.page(vector_store_id, paging, status=status)
        return JSONResponse(list_view([vector_store_file_view(each) for each in found], has_more=has_more))

    @router.get("/{file_id}", response_model=VectorStoreFileObject, openapi_extra=operation(v2_only=True))
    async def get_vector_store_file(
        vector_store_id: str, file_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        found = await find_vector_store_file(stores, caller, vector_store_id, file_id)
        return answers.polled(vector_store_file_view(found), settings)

    @router.get("/{file_id}/content", response_model=FileContentPage, openapi_extra=operation(v2_only=True))
    async def get_vector_store_file_content(
        vector_store_id: str, file_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        found = await find_vector_store_file(stores, caller, vector_store_id, file_id)
        is_read = found["status"] == "completed"
        return JSONResponse(content_view(await stores.parsed_files.read(file_id) if is_read else None))


def _add_changes(router: APIRouter, stores: Stores, shelves: Shelves, door: Door, settings: Settings) -> None:
    v2 = door.v2_or_unsaid

    @router.post(
        "",
        response_model=VectorStoreFileObject,
        openapi_extra=operation(NewFile, required=True, v2_only=True),
    )
    async def create_vector_store_file(
        vector_store_id: str, request: Request, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, NewFile, NewFile)
        store = await find_vector_store(stores, caller, vector_store_id)
        await shelves.put(caller, store, [body])
        found = await find_vector_store_file(stores, caller, vector_store_id, body.file_id)
        return answers.polled(vector_store_file_view(found), settings)

    @router.post(
        "/{file_id}",
        response_model=VectorStoreFileObject,
        openapi_extra=operation(SetAttributes, required=True, v2_only=True),
    )
    async def modify_vector_store_file(
        vector_store_id: str, file_id: str, request: Request, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, SetAttributes, SetAttributes)
        await find_vector_store_file(stores, caller, vector_store_id, file_id)
        found = await stores.vector_store_files.set_attributes(
            vector_store_id, file_id, body.attributes or {}
        )
        if found is None:
            raise no_file_in(vector_store_id, file_id)
        return JSONResponse(vector_store_file_view(found))

    @router.delete("/{file_id}", response_model=VectorStoreFileDeleted, openapi_extra=operation(v2_only=True))
    async def delete_vector_store_file(
        vector_store_id: str, file_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        await find_vector_store(stores, caller, vector_store_id)
        if not await shelves.take_out(vector_store_id, caller.project_id, file_id):
            raise no_file_in(vector_store_id, file_id)
        return answers.deleted(file_id, "vector_store.file")
