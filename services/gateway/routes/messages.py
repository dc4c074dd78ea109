"""Messages of a thread: create, list, get, modify, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from services.gateway.announcer import Announcer
from services.gateway.attachments import attach
from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import check_named, find_message, find_thread
from services.gateway.metadata import merged
from services.gateway.paging import Paging
from services.gateway.routes import answers
from services.gateway.run_creation import add_messages
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.messages import CreateMessage, CreateMessageV1, ModifyMessage, ModifyMessageV1
from services.gateway.wire.objects import ListAnswer, MessageDeleted, MessageObject
from shared import clock
from shared.errors import InvalidRequest
from shared.failpoints import failpoint
from shared.stores.database import Document
from shared.stores.messages import message_object
from shared.stores.page import PageQuery
from shared.tasks import both


def build_router(stores: Stores, announcer: Announcer, shelves: Shelves, door: Door) -> APIRouter:
    router = APIRouter(prefix="/threads/{thread_id}/messages", tags=["Messages"], responses=ERRORS)
    _add_creation(router, stores, announcer, shelves, door)
    _add_reading(router, stores, door)
    _add_changes(router, stores, announcer, door)
    return router


def _add_creation(
    router: APIRouter, stores: Stores, announcer: Announcer, shelves: Shelves, door: Door
) -> None:
    @router.post(
        "",
        response_model=MessageObject,
        openapi_extra=operation(CreateMessage, CreateMessageV1, required=True),
    )
    async def create_message(
        thread_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, CreateMessageV1, CreateMessage)
        thread, active = await both(find_thread(stores, caller, thread_id), stores.runs.active_id(thread_id))
        if caller.attempt.again and (
            made := await stores.messages.get(thread_id, caller.attempt.first_id("msg"))
        ):
            return answers.one(message_object(made), caller)
        await check_named(stores, caller, messages=[body])
        if active:
            raise locked(thread_id, active)
        await attach(stores, shelves, caller, thread, [body])
        [message] = await add_messages(stores, caller, thread_id, [body])
        failpoint("gateway.message_stored")
        await withdraw_if_late(stores, message)
        announcer.message_changed(message)
        return answers.one(message_object(message), caller)


def _add_reading(router: APIRouter, stores: Stores, door: Door) -> None:
    @router.get("", response_model=ListAnswer[MessageObject], openapi_extra=operation())
    async def list_messages(
        thread_id: str,
        caller: Annotated[Caller, Depends(door)],
        paging: Paging,
        run_id: Annotated[str | None, Query(description="Only messages that this run made.")] = None,
    ) -> JSONResponse:
        _, (found, has_more) = await both(
            find_thread(stores, caller, thread_id),
            _page_of_run(stores, thread_id, run_id, paging)
            if run_id
            else stores.messages.page(thread_id, paging),
        )
        return answers.many([message_object(each) for each in found], has_more, caller)

    @router.get("/{message_id}", response_model=MessageObject, openapi_extra=operation())
    async def get_message(
        thread_id: str, message_id: str, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        message = await find_message(stores, caller, thread_id, message_id)
        return answers.one(message_object(message), caller)


def _add_changes(router: APIRouter, stores: Stores, announcer: Announcer, door: Door) -> None:
    @router.post(
        "/{message_id}",
        response_model=MessageObject,
        openapi_extra=operation(ModifyMessage, ModifyMessageV1),
    )
    async def modify_message(
        thread_id: str, message_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, ModifyMessageV1, ModifyMessage)
        message = await find_message(stores, caller, thread_id, message_id)
        metadata = merged(message["metadata"], body.metadata)
        if metadata != message["metadata"]:
            await stores.messages.set_metadata(message_id, metadata)
        return answers.one(message_object({**message, "metadata": metadata}), caller)

    @router.delete("/{message_id}", response_model=MessageDeleted, openapi_extra=operation())
    async def delete_message(
        thread_id: str, message_id: str, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        message = await find_message(stores, caller, thread_id, message_id)
        now = clock.now()
        await stores.messages.delete(message_id, at=now)
        announcer.message_changed({**message, "deleted": True, "at": now})
        return answers.deleted(message_id, "thread.message")


async def _page_of_run(
    stores: Stores, thread_id: str, run_id: str, paging: PageQuery
) -> tuple[list[Document], bool]:
    run = await stores.runs.get(run_id)
    if run is None or run.thread_id != thread_id:
        return [], False
    return await stores.messages.page_of_run(run, paging)


async def withdraw_if_late(stores: Stores, message: Document) -> None:
    """Take ``message`` back if a run, begun since the thread was seen idle, will not read it.

    Raises:
        InvalidRequest: it was taken back.
    """
    active = await stores.runs.active_id(message["thread_id"])
    run = await stores.runs.get(active) if active else None
    if run and run.input_upto < message["seq"]:
        await stores.messages.delete(message["_id"], at=clock.now())
        raise locked(message["thread_id"], run.id)


def locked(thread_id: str, run_id: str) -> InvalidRequest:
    return InvalidRequest(f"Can't add messages to {thread_id} while a run {run_id} is active.")
