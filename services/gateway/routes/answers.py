"""What the handlers answer with."""

from collections.abc import Sequence

from fastapi.responses import JSONResponse

from services.gateway.auth import Caller
from services.gateway.paging import list_view
from services.gateway.settings import Settings
from services.gateway.wire.v1 import render
from shared.runs.model import Json


def one(obj: Json, caller: Caller) -> JSONResponse:
    return JSONResponse(render(obj, caller.version))


def many(objects: Sequence[Json], has_more: bool, caller: Caller) -> JSONResponse:
    return JSONResponse(render(list_view(objects, has_more=has_more), caller.version))


def polled(obj: Json, settings: Settings) -> JSONResponse:
    """What a client asks for again and again, until it is done: with how long to wait before."""
    return JSONResponse(obj, headers={"openai-poll-after-ms": str(settings.poll_after_ms)})


def deleted(object_id: str, kind: str) -> JSONResponse:
    return JSONResponse({"id": object_id, "object": f"{kind}.deleted", "deleted": True})
