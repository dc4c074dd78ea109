"""Files of an assistant, as v1 has them: attach, list, get, detach."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.gateway.assistant_files import attached, detached
from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.knowledge import change_in_v1
from services.gateway.lookup import check_named, find_assistant, find_file, missing
from services.gateway.paging import Paging, list_view, page_of
from services.gateway.routes import answers
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.assistants import AttachFile, assistant_file_view
from services.gateway.wire.objects import AssistantFileDeleted, AssistantFileObject, ListAnswer
from shared import clock
from shared.errors import InvalidRequest
from shared.runs.model import Json

PURPOSE = "assistants"


def build_router(stores: Stores, shelves: Shelves, door: Door) -> APIRouter:
    router = APIRouter(prefix="/assistants/{assistant_id}/files", tags=["Assistants"], responses=ERRORS)
    v1_only = door.v1_only

    @router.post(
        "",
        response_model=AssistantFileObject,
        openapi_extra=operation(AttachFile, required=True, v1_only=True),
    )
    async def attach_file(
        assistant_id: str, request: Request, caller: Annotated[Caller, Depends(v1_only)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, AttachFile, AttachFile)
        await find_assistant(stores, caller, assistant_id)
        await check_named(stores, caller, file_ids=[body.file_id])
        file = await find_file(stores, caller, body.file_id)
        if file["purpose"] != PURPOSE:
            message = (
                f"Expected the purpose of '{body.file_id}' to be '{PURPOSE}', but it is '{file['purpose']}'."
            )
            raise InvalidRequest(message, param="file_id")
        now = int(clock.now())
        assistant = await change_in_v1(
            stores, shelves, caller, assistant_id, lambda old: attached(old, body.file_id, now)
        )
        if assistant is None:
            raise missing("assistant", assistant_id)
        return JSONResponse(one_of(assistant, body.file_id))

    @router.get("", response_model=ListAnswer[AssistantFileObject], openapi_extra=operation(v1_only=True))
    async def list_assistant_files(
        assistant_id: str, caller: Annotated[Caller, Depends(v1_only)], paging: Paging
    ) -> JSONResponse:
        assistant = await find_assistant(stores, caller, assistant_id)
        files = [assistant_file_view(assistant, file) for file in assistant.get("files", ())]
        found, has_more = page_of(files, paging)
        return JSONResponse(list_view(found, has_more=has_more))

    @router.get("/{file_id}", response_model=AssistantFileObject, openapi_extra=operation(v1_only=True))
    async def get_assistant_file(
        assistant_id: str, file_id: str, caller: Annotated[Caller, Depends(v1_only)]
    ) -> JSONResponse:
        return JSONResponse(one_of(await find_assistant(stores, caller, assistant_id), file_id))

    @router.delete("/{file_id}", response_model=AssistantFileDeleted, openapi_extra=operation(v1_only=True))
    async def detach_file(
        assistant_id: str, file_id: str, caller: Annotated[Caller, Depends(v1_only)]
    ) -> JSONResponse:
        one_of(await find_assistant(stores, caller, assistant_id), file_id)
        await change_in_v1(stores, shelves, caller, assistant_id, lambda old: detached(old, file_id))
        return answers.deleted(file_id, "assistant.file")

    return router


def one_of(assistant: Json, file_id: str) -> Json:
    for file in assistant.get("files", ()):
        if file["id"] == file_id:
            return assistant_file_view(assistant, file)
    raise missing("file", file_id)
