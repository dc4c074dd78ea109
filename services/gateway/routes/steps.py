"""Steps of a run: list and get. They are part of the run's document."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from services.gateway.auth import Caller, Door
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_run, missing
from services.gateway.paging import Paging, page_of_steps
from services.gateway.routes import answers
from services.gateway.search_content import SearchContent
from services.gateway.stores.all import Stores
from services.gateway.wire.includes import check_includes
from services.gateway.wire.objects import ListAnswer, RunStepObject
from shared.runs.views import step_view

Content = Annotated[bool, Depends(check_includes)]


def build_router(stores: Stores, door: Door) -> APIRouter:
    router = APIRouter(
        prefix="/threads/{thread_id}/runs/{run_id}/steps", tags=["Run steps"], responses=ERRORS
    )

    @router.get(
        "",
        response_model=ListAnswer[RunStepObject],
        openapi_extra=operation(),
    )
    async def list_steps(
        thread_id: str,
        run_id: str,
        caller: Annotated[Caller, Depends(door)],
        paging: Paging,
        content: Content,
    ) -> JSONResponse:
        run = await find_run(stores, caller, thread_id, run_id)
        steps, has_more = page_of_steps(run, paging)
        shown = [step_view(run, step) for step in steps]
        if content:
            shown = await SearchContent(stores.search_results).added(shown)
        return answers.many(shown, has_more, caller)

    @router.get(
        "/{step_id}",
        response_model=RunStepObject,
        openapi_extra=operation(),
    )
    async def get_step(
        thread_id: str, run_id: str, step_id: str, caller: Annotated[Caller, Depends(door)], content: Content
    ) -> JSONResponse:
        run = await find_run(stores, caller, thread_id, run_id)
        step = next((step for step in run.steps if step.id == step_id), None)
        if step is None:
            raise missing("run step", step_id)
        shown = step_view(run, step)
        if content:
            (shown,) = await SearchContent(stores.search_results).added([shown])
        return answers.one(shown, caller)

    return router
