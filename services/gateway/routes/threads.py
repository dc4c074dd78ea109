"""Threads: create, get, modify, delete; and list, which the original could not."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.gateway.announcer import Announcer
from services.gateway.attachments import new_resources
from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import check_named, find_thread, made_before, missing
from services.gateway.metadata import METADATA_PARAMETER, MetadataFilter, merged
from services.gateway.paging import Paging
from services.gateway.routes import answers
from services.gateway.run_changes import cancel
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.thread_creation import create_thread as create
from services.gateway.wire.objects import ListAnswer, ThreadDeleted, ThreadObject
from services.gateway.wire.resources import searched
from services.gateway.wire.threads import (
    CreateThread,
    CreateThreadV1,
    ModifyThread,
    ModifyThreadFields,
    ModifyThreadV1,
    thread_view,
)
from shared.errors import InvalidRequest
from shared.failpoints import failpoint
from shared.runs.model import Json


def build_router(stores: Stores, announcer: Announcer, shelves: Shelves, door: Door) -> APIRouter:
    router = APIRouter(prefix="/threads", tags=["Threads"], responses=ERRORS)
    _add_creation(router, stores, announcer, shelves, door)
    _add_reading(router, stores, door)
    _add_changes(router, stores, announcer, shelves, door)
    return router


def _add_creation(
    router: APIRouter, stores: Stores, announcer: Announcer, shelves: Shelves, door: Door
) -> None:
    @router.post("", response_model=ThreadObject, openapi_extra=operation(CreateThread, CreateThreadV1))
    async def create_thread(request: Request, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        body = await read_body(request, caller.version, CreateThreadV1, CreateThread)
        if made := await made_before(stores.threads, caller, "thread"):
            return answers.one(thread_view(made), caller)
        await check_named(stores, caller, messages=body.messages or (), resources=[body.resources()])
        resources = await new_resources(stores, caller, body, None)
        thread, messages = await create(stores, shelves, caller, body, resources)
        for message in messages:
            announcer.message_changed(message)
        return answers.one(thread_view(thread), caller)


def _add_reading(router: APIRouter, stores: Stores, door: Door) -> None:
    @router.get(
        "",
        response_model=ListAnswer[ThreadObject],
        description="An extension: the original had no such operation.",
        openapi_extra=operation(parameters=(METADATA_PARAMETER,)),
    )
    async def list_threads(
        caller: Annotated[Caller, Depends(door)], paging: Paging, metadata: MetadataFilter
    ) -> JSONResponse:
        found, has_more = await stores.threads.page(caller.project_id, paging, metadata)
        return answers.many([thread_view(each) for each in found], has_more, caller)

    @router.get("/{thread_id}", response_model=ThreadObject, openapi_extra=operation())
    async def get_thread(thread_id: str, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        return answers.one(thread_view(await find_thread(stores, caller, thread_id)), caller)


def _add_changes(
    router: APIRouter, stores: Stores, announcer: Announcer, shelves: Shelves, door: Door
) -> None:
    threads = stores.threads

    @router.post(
        "/{thread_id}", response_model=ThreadObject, openapi_extra=operation(ModifyThread, ModifyThreadV1)
    )
    async def modify_thread(
        thread_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, ModifyThreadV1, ModifyThread)
        await check_named(stores, caller, resources=[body.resources()])
        found = await threads.change(caller.project_id, thread_id, lambda old: changed(old, body))
        if found is None:
            raise missing("thread", thread_id)
        return answers.one(thread_view(found), caller)

    @router.delete("/{thread_id}", response_model=ThreadDeleted, openapi_extra=operation())
    async def delete_thread(thread_id: str, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        thread = await find_thread(stores, caller, thread_id)
        if not await threads.delete(caller.project_id, thread_id):
            raise missing("thread", thread_id)
        failpoint("gateway.thread_gone")
        await cancel_active(stores, announcer, thread_id)
        await stores.messages.delete_thread(thread_id)
        await stores.search_results.delete_thread(thread_id)
        for vector_store_id in searched(thread["tool_resources"]):
            await shelves.delete_helper(caller.project_id, vector_store_id)
        return answers.deleted(thread_id, "thread")


async def cancel_active(stores: Stores, announcer: Announcer, thread_id: str) -> None:
    active = await stores.runs.active_id(thread_id)
    run = await stores.runs.get(active) if active else None
    if run is None:
        return
    with suppress(InvalidRequest):  # else it is on its way out already
        announcer.run_changed(await cancel(stores.runs, run), "cancel_requested")


def changed(old: Json, body: ModifyThreadFields) -> Json:
    """What of the stored thread ``body`` changes."""
    changes: Json = {"metadata": merged(old["metadata"], body.metadata)}
    if resources := body.resources():
        changes["tool_resources"] = old["tool_resources"] | resources.stored()
    return changes
