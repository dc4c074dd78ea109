"""Files of a message, as v1 has them: list and get. They are what came with the message."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_message, missing
from services.gateway.paging import Paging, list_view, page_of
from services.gateway.stores.all import Stores
from services.gateway.wire.messages import message_files
from services.gateway.wire.objects import ListAnswer, MessageFileObject


def build_router(stores: Stores, door: Door) -> APIRouter:
    prefix = "/threads/{thread_id}/messages/{message_id}/files"
    router = APIRouter(prefix=prefix, tags=["Messages"], responses=ERRORS)
    v1_only = door.v1_only

    @router.get("", response_model=ListAnswer[MessageFileObject], openapi_extra=operation(v1_only=True))
    async def list_message_files(
        thread_id: str, message_id: str, caller: Annotated[Caller, Depends(v1_only)], paging: Paging
    ) -> JSONResponse:
        message = await find_message(stores, caller, thread_id, message_id)
        found, has_more = page_of(message_files(message), paging)
        return JSONResponse(list_view(found, has_more=has_more))

    @router.get("/{file_id}", response_model=MessageFileObject, openapi_extra=operation(v1_only=True))
    async def get_message_file(
        thread_id: str, message_id: str, file_id: str, caller: Annotated[Caller, Depends(v1_only)]
    ) -> JSONResponse:
        message = await find_message(stores, caller, thread_id, message_id)
        for file in message_files(message):
            if file["id"] == file_id:
                return JSONResponse(file)
        raise missing("file", file_id)

    return router
