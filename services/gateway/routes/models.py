"""Models: list and get. Deleting is for fine-tuned ones, which this server has none of."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.documents import ERRORS, operation
from services.gateway.models import Models
from services.gateway.wire.objects import ModelDeleted, ModelList, ModelObject
from shared.errors import NotFound


def build_router(models: Models, door: Door) -> APIRouter:
    router = APIRouter(prefix="/models", tags=["Models"], responses=ERRORS)

    @router.get("", response_model=ModelList, openapi_extra=operation(header=False))
    async def list_models(_: Annotated[Caller, Depends(door.any_version)]) -> JSONResponse:
        return JSONResponse({"object": "list", "data": await models.all()})

    @router.get("/{model:path}", response_model=ModelObject, openapi_extra=operation(header=False))
    async def get_model(model: str, _: Annotated[Caller, Depends(door.any_version)]) -> JSONResponse:
        found = await models.get(model)
        if found is None:
            raise not_there(model)
        return JSONResponse(found)

    @router.delete("/{model:path}", response_model=ModelDeleted, openapi_extra=operation(header=False))
    async def delete_model(model: str, _: Annotated[Caller, Depends(door.any_version)]) -> JSONResponse:
        raise not_there(model)

    return router


def not_there(model: str) -> NotFound:
    return NotFound(f"The model '{model}' does not exist", param="model", code="model_not_found")
