"""Vector stores: create, list, get, modify, delete, search."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_vector_store, no_vector_store
from services.gateway.metadata import merged
from services.gateway.paging import Paging, list_view
from services.gateway.routes import answers
from services.gateway.searches import Searches
from services.gateway.shelves import Shelves, require_unexpired
from services.gateway.stores.all import Stores
from services.gateway.wire.objects import ListAnswer
from services.gateway.wire.vector_store_objects import (
    SearchResultsPage,
    VectorStoreDeleted,
    VectorStoreObject,
)
from services.gateway.wire.vector_stores import (
    CreateVectorStore,
    ModifyVectorStore,
    SearchVectorStore,
    search_view,
    vector_store_view,
)
from shared import clock
from shared.runs.model import Json
from shared.stores.database import Document


def build_router(stores: Stores, shelves: Shelves, searches: Searches, door: Door) -> APIRouter:
    router = APIRouter(prefix="/vector_stores", tags=["Vector stores"], responses=ERRORS)
    _add_reading(router, stores, shelves, door)
    _add_changes(router, stores, shelves, door)
    _add_search(router, stores, searches, door)
    return router


def _add_reading(router: APIRouter, stores: Stores, shelves: Shelves, door: Door) -> None:
    v2 = door.v2_or_unsaid

    @router.get("", response_model=ListAnswer[VectorStoreObject], openapi_extra=operation(v2_only=True))
    async def list_vector_stores(caller: Annotated[Caller, Depends(v2)], paging: Paging) -> JSONResponse:
        found, has_more = await stores.vector_stores.page(caller.project_id, paging)
        views = await asyncio.gather(*(view(shelves, each) for each in found))
        return JSONResponse(list_view(views, has_more=has_more))

    @router.get("/{vector_store_id}", response_model=VectorStoreObject, openapi_extra=operation(v2_only=True))
    async def get_vector_store(vector_store_id: str, caller: Annotated[Caller, Depends(v2)]) -> JSONResponse:
        return JSONResponse(await view(shelves, await find_vector_store(stores, caller, vector_store_id)))


def _add_changes(router: APIRouter, stores: Stores, shelves: Shelves, door: Door) -> None:
    v2 = door.v2_or_unsaid

    @router.post(
        "", response_model=VectorStoreObject, openapi_extra=operation(CreateVectorStore, v2_only=True)
    )
    async def create_vector_store(request: Request, caller: Annotated[Caller, Depends(v2)]) -> JSONResponse:
        body = await read_body(request, caller.version, CreateVectorStore, CreateVectorStore)
        fields = body.changes() | {"description": body.description, "metadata": body.metadata or {}}
        made = await shelves.create(caller, caller.new_id("vs"), fields, body.new_files())
        return JSONResponse(await view(shelves, made))

    @router.post(
        "/{vector_store_id}",
        response_model=VectorStoreObject,
        openapi_extra=operation(ModifyVectorStore, v2_only=True),
    )
    async def modify_vector_store(
        vector_store_id: str, request: Request, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, ModifyVectorStore, ModifyVectorStore)
        found = await stores.vector_stores.change(
            caller.project_id, vector_store_id, lambda old: changed(old, body)
        )
        if found is None:
            raise no_vector_store(vector_store_id)
        return JSONResponse(await view(shelves, found))

    @router.delete(
        "/{vector_store_id}", response_model=VectorStoreDeleted, openapi_extra=operation(v2_only=True)
    )
    async def delete_vector_store(
        vector_store_id: str, caller: Annotated[Caller, Depends(v2)]
    ) -> JSONResponse:
        if not await shelves.delete(caller.project_id, vector_store_id):
            raise no_vector_store(vector_store_id)
        return answers.deleted(vector_store_id, "vector_store")


def _add_search(router: APIRouter, stores: Stores, searches: Searches, door: Door) -> None:
    @router.post(
        "/{vector_store_id}/search",
        response_model=SearchResultsPage,
        openapi_extra=operation(SearchVectorStore, required=True, v2_only=True),
    )
    async def search_vector_store(
        vector_store_id: str, request: Request, caller: Annotated[Caller, Depends(door.v2_or_unsaid)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, SearchVectorStore, SearchVectorStore)
        require_unexpired(await find_vector_store(stores, caller, vector_store_id))
        await stores.vector_stores.used(caller.project_id, [vector_store_id], clock.now())
        results = await searches.search(caller, vector_store_id, body)
        return JSONResponse(search_view(body.queries(), results))


async def view(shelves: Shelves, store: Document) -> Json:
    return vector_store_view(store, await shelves.totals(store["_id"]), clock.now())


def changed(old: Document, body: ModifyVectorStore) -> Json:
    """What of the stored vector store ``body`` changes.

    Raises:
        InvalidRequest: it is to live on, but has expired already.
    """
    changes = body.changes()
    if "expires_after" in changes:
        require_unexpired(old)
    return changes | {"metadata": merged(old["metadata"], body.metadata)}
