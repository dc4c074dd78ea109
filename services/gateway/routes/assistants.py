"""Assistants: create, list, get, modify, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.gateway.assistant_files import with_file_ids
from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, operation
from services.gateway.knowledge import change_in_v1, forget, with_helper, with_v1_files
from services.gateway.lookup import check_named, find_assistant, made_before, missing
from services.gateway.metadata import merged
from services.gateway.paging import Paging
from services.gateway.routes import answers
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.version import Version
from services.gateway.wire.assistants import (
    DEFAULTS,
    AssistantFields,
    CreateAssistant,
    CreateAssistantV1,
    ModifyAssistant,
    ModifyAssistantV1,
    assistant_view,
)
from services.gateway.wire.objects import AssistantDeleted, AssistantObject, ListAnswer
from services.gateway.wire.tools import check_json_mode
from shared import clock
from shared.ids import new_sequence
from shared.runs.model import Json


def build_router(stores: Stores, shelves: Shelves, door: Door) -> APIRouter:
    router = APIRouter(prefix="/assistants", tags=["Assistants"], responses=ERRORS)
    _add_creation(router, stores, shelves, door)
    _add_reading(router, stores, door)
    _add_changes(router, stores, shelves, door)
    return router


def _add_creation(router: APIRouter, stores: Stores, shelves: Shelves, door: Door) -> None:
    @router.post(
        "",
        response_model=AssistantObject,
        openapi_extra=operation(CreateAssistant, CreateAssistantV1, required=True),
    )
    async def create_assistant(request: Request, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        body = await read_body(request, caller.version, CreateAssistantV1, CreateAssistant)
        if made := await made_before(stores.assistants, caller, "asst"):
            return answers.one(assistant_view(made, caller.version), caller)
        await check_body(stores, caller, body)
        now = int(clock.now())
        assistant = {
            "_id": caller.new_id("asst"),
            "project_id": caller.project_id,
            "seq": new_sequence(),
            "created_at": now,
            **DEFAULTS,
            **changes_to(DEFAULTS, body, now),
        }
        check_json_mode(assistant["tools"], assistant["response_format"])
        if caller.version is Version.V1:
            assistant = await with_v1_files(stores, shelves, caller, DEFAULTS, assistant)
        else:
            assistant = await with_helper(shelves, caller, assistant, body.resources())
        await stores.assistants.add(assistant)
        return answers.one(assistant_view(assistant, caller.version), caller)


def _add_reading(router: APIRouter, stores: Stores, door: Door) -> None:
    @router.get("", response_model=ListAnswer[AssistantObject], openapi_extra=operation())
    async def list_assistants(caller: Annotated[Caller, Depends(door)], paging: Paging) -> JSONResponse:
        found, has_more = await stores.assistants.page(caller.project_id, paging)
        return answers.many([assistant_view(each, caller.version) for each in found], has_more, caller)

    @router.get("/{assistant_id}", response_model=AssistantObject, openapi_extra=operation())
    async def get_assistant(assistant_id: str, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        found = await find_assistant(stores, caller, assistant_id)
        return answers.one(assistant_view(found, caller.version), caller)


def _add_changes(router: APIRouter, stores: Stores, shelves: Shelves, door: Door) -> None:
    assistants = stores.assistants

    @router.post(
        "/{assistant_id}",
        response_model=AssistantObject,
        openapi_extra=operation(ModifyAssistant, ModifyAssistantV1),
    )
    async def modify_assistant(
        assistant_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, ModifyAssistantV1, ModifyAssistant)
        await check_body(stores, caller, body)
        if caller.version is Version.V1:
            found = await change_in_v1(stores, shelves, caller, assistant_id, lambda old: changed(old, body))
        else:
            found = await assistants.change(caller.project_id, assistant_id, lambda old: changed(old, body))
        if found is None:
            raise missing("assistant", assistant_id)
        return answers.one(assistant_view(found, caller.version), caller)

    @router.delete("/{assistant_id}", response_model=AssistantDeleted, openapi_extra=operation())
    async def delete_assistant(assistant_id: str, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        assistant = await find_assistant(stores, caller, assistant_id)
        if not await assistants.delete(caller.project_id, assistant_id):
            raise missing("assistant", assistant_id)
        await forget(shelves, caller.project_id, assistant)
        return answers.deleted(assistant_id, "assistant")


async def check_body(stores: Stores, caller: Caller, body: AssistantFields) -> None:
    await check_named(stores, caller, file_ids=body.file_ids_named() or (), resources=[body.resources()])


def changes_to(old: Json, body: AssistantFields, now: int) -> Json:
    """What ``body`` says, in the stored form."""
    if isinstance(body, ModifyAssistantV1):
        return with_file_ids(old, body.changes(), body.file_ids_named(), now)
    return body.changes()


def changed(old: Json, body: AssistantFields) -> Json:
    """What of the stored assistant ``body`` changes."""
    changes = changes_to(old, body, int(clock.now()))
    if "metadata" in changes:
        changes["metadata"] = merged(old["metadata"], changes["metadata"])
    if changes.get("tool_resources"):
        changes["tool_resources"] = old["tool_resources"] | changes["tool_resources"]
    after = old | changes
    check_json_mode(after["tools"], after["response_format"])
    return changes
