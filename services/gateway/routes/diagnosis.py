"""An extension: why a run is where it is."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.diagnosis import diagnosis, topic_awaited
from services.gateway.documents import ERRORS, operation
from services.gateway.lag import lag_of
from services.gateway.lookup import find_run
from services.gateway.settings import Settings
from services.gateway.stores.all import Stores
from shared import clock

FIELDS = (
    "In plain words what the run waits for, since when, and what happens if it does not come: `summary`, "
    "`since`, `next`. With it the owner and its lease, take-overs, calls awaited, the lag of the topic on "
    "which the awaited record lies (null if the broker does not tell), the last error, and what lost "
    "attempts left."
)
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": FIELDS}
}


def build_router(stores: Stores, door: Door, settings: Settings) -> APIRouter:
    router = APIRouter(prefix="/threads", tags=["Extensions"], responses=ERRORS)

    @router.get(
        "/{thread_id}/runs/{run_id}/diagnosis",
        response_model=None,
        responses=ANSWER,
        openapi_extra=operation(),
    )
    async def diagnose_run(
        thread_id: str, run_id: str, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        run = await find_run(stores, caller, thread_id, run_id)
        topic = topic_awaited(run)
        lag = await lag_of(settings, topic) if topic else None
        return JSONResponse(diagnosis(run, clock.now()) | {"lag": lag})

    return router
