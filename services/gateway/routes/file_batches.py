"""Batches of files for a vector store: create, get, cancel, list their files."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_file_batch, find_vector_store
from services.gateway.paging import Paging, list_view
from services.gateway.routes import answers
from services.gateway.routes.vector_store_files import StatusFilter
from services.gateway.settings import Settings
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.objects import ListAnswer
from services.gateway.wire.vector_store_objects import (
    FileBatchObject,
    VectorStoreFileObject,
)
from services.gateway.wire.vector_stores import CreateFileBatch, file_batch_view, vector_store_file_view
from shared import clock
from shared.runs.model import Json
from shared.stores.database import Document


def build_router(stores: Stores, shelves: Shelves, door: Door, settings: Settings) -> APIRouter:
    prefix = "/vector_stores/{vector_store_id}/file_batches"
    router = APIRouter(prefix=prefix, tags=["Vector stores"], responses=ERRORS)
    _add_reading(router, stores, door, settings)
    _add_changes(router, stores, shelves, door, settings)
    return router


def _add_reading(router: APIRouter, stores: Stores, door: Door, settings: Settings) -> None:
    v2 = door.v2_or_unsaid

    @router.get("/{batch_id}", response_model=FileBatchObject, openapi_extra=operation(v2_only=True))
    async def get_file_batch(
        vector_store_id: str, batch_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        batch = await find_file_batch(stores, caller, vector_store_id, batch_id)
        return answers.polled(await view(stores, batch), settings)

    @router.get(
        "/{batch_id}/files",
        response_model=ListAnswer[VectorStoreFileObject],
        openapi_extra=operation(v2_only=True),
    )
    async def list_files_of_batch(
        vector_store_id: str,
        batch_id: str,
        caller: Annotated[Caller, Depends(v2)],
        paging: Paging,
        status: StatusFilter = None,
    ) -> JSONResponse:
        await find_file_batch(stores, caller, vector_store_id, batch_id)
        found, has_more = await stores.vector_store_files.page(
            vector_store_id, paging, batch_id=batch_id, status=status
        )
        return JSONResponse(list_view([vector_store_file_view(each) for each in found], has_more=has_more))


def _add_changes(router: APIRouter, stores: Stores, shelves: Shelves, door: Door, settings: Settings) -> None:
    v2 = door.v2_or_unsaid

    @router.post(
        "",
        response_model=FileBatchObject,
        openapi_extra=operation(CreateFileBatch, required=True, v2_only=True),
    )
    async def create_file_batch(
        vector_store_id: str, request: Request, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, CreateFileBatch, CreateFileBatch)
        files = body.new_files()
        store = await find_vector_store(stores, caller, vector_store_id)
        batch_id = caller.new_id("vsfb")
        await shelves.put(caller, store, files, batch_id=batch_id)
        batch = await stores.file_batches.add(batch_id, vector_store_id, clock.now())
        return answers.polled(await view(stores, batch), settings)

    @router.post("/{batch_id}/cancel", response_model=FileBatchObject, openapi_extra=operation(v2_only=True))
    async def cancel_file_batch(
        vector_store_id: str, batch_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        batch = await find_file_batch(stores, caller, vector_store_id, batch_id)
        totals = await stores.vector_store_files.totals_of_batch(batch_id)
        if totals.files.get("in_progress"):
            await stores.file_batches.cancel(batch_id)
            await stores.vector_store_files.cancel_batch(batch_id, clock.now())
            batch = {**batch, "cancelled": True}
        return answers.polled(await view(stores, batch), settings)


async def view(stores: Stores, batch: Document) -> Json:
    return file_batch_view(batch, await stores.vector_store_files.totals_of_batch(batch["_id"]))
