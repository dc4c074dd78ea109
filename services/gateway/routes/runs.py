"""Runs: create, also together with a thread; list, get, modify, cancel, submit tool outputs."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.announcer import Announcer
from services.gateway.attachments import attach, new_resources
from services.gateway.auth import Caller, Door
from services.gateway.body import read_body
from services.gateway.documents import ERRORS, STREAM, operation
from services.gateway.limits import RunPlaces
from services.gateway.lookup import check_named, find_assistant, find_run, find_thread
from services.gateway.metadata import merged
from services.gateway.paging import Paging
from services.gateway.routes import answers
from services.gateway.run_changes import cancel, event_before, outputs_of, submit
from services.gateway.run_creation import add_messages, new_run, require_idle, require_input, start
from services.gateway.search_content import SearchContent
from services.gateway.settings import Settings
from services.gateway.shelves import Shelves
from services.gateway.sse import EventStream
from services.gateway.stores.all import Stores
from services.gateway.stream.streams import Streams
from services.gateway.thread_creation import create_thread
from services.gateway.wire.includes import check_includes
from services.gateway.wire.objects import ListAnswer, RunObject
from services.gateway.wire.runs import (
    CreateRun,
    CreateRunV1,
    CreateThreadAndRun,
    CreateThreadAndRunV1,
    ModifyRun,
    ModifyRunV1,
    SubmitToolOutputs,
    joined_instructions,
)
from services.gateway.wire.threads import thread_view
from shared import metrics
from shared.errors import InvalidRequest
from shared.runs.model import Json, Run
from shared.runs.views import run_view
from shared.stores.database import Document
from shared.tasks import both


class RunRoutes:
    """What the handlers of this file have in common: a run is stored, told, and answered."""

    def __init__(
        self,
        stores: Stores,
        announcer: Announcer,
        shelves: Shelves,
        streams: Streams,
        settings: Settings,
    ) -> None:
        self.stores = stores
        self.announcer = announcer
        self._shelves = shelves
        self._streams = streams
        self._settings = settings
        self._places = RunPlaces(stores.usage, stores.runs)

    def answer(self, run: Run, caller: Caller) -> JSONResponse:
        response = answers.one(run_view(run), caller)
        response.headers["openai-poll-after-ms"] = str(self._settings.poll_after_ms)
        return response

    async def create(self, request: Request, thread_id: str, caller: Caller, *, content: bool) -> Response:
        body = await read_body(request, caller.version, CreateRunV1, CreateRun)
        if made := await self._made_before(caller):
            await find_thread(self.stores, caller, thread_id)
            return await self._answer_again(made, caller, stream=body.stream or False, content=content)
        thread, assistant = await both(
            find_thread(self.stores, caller, thread_id),
            find_assistant(self.stores, caller, body.assistant_id),
        )
        if body.messages():  # else storing the run shows whether there is another
            await require_idle(self.stores, thread_id)
        await check_named(self.stores, caller, messages=body.messages())
        thread = await attach(self.stores, self._shelves, caller, thread, body.messages())
        settings = joined_instructions(
            body.settings(assistant, thread["tool_resources"]), body.additional_instructions
        )
        run = new_run(body, settings, thread_id, caller, self._settings.run_expiry_s)
        await require_input(self.stores, caller, run, body.messages())
        await self._places.reserve(caller, run.id)
        messages = await add_messages(self.stores, caller, thread_id, body.messages())
        return await self._start(run, messages, caller, stream=body.stream or False, content=content)

    async def create_with_thread(self, request: Request, caller: Caller) -> Response:
        body = await read_body(request, caller.version, CreateThreadAndRunV1, CreateThreadAndRun)
        if made := await self._made_before(caller):
            thread = await find_thread(self.stores, caller, made.thread_id)
            first = [("thread.created", thread_view(thread))]
            return await self._answer_again(made, caller, stream=body.stream or False, first=first)
        assistant = await find_assistant(self.stores, caller, body.assistant_id)
        new_thread = body.new_thread()
        said = [new_thread.resources(), body.resources()]
        await check_named(self.stores, caller, messages=new_thread.messages or (), resources=said)
        resources = await new_resources(self.stores, caller, new_thread, body.resources())
        settings = body.settings(assistant, resources.stored)
        run = new_run(body, settings, "", caller, self._settings.run_expiry_s)
        await require_input(self.stores, caller, run, new_thread.messages or [])
        await self._places.reserve(caller, run.id)
        thread, messages = await create_thread(self.stores, self._shelves, caller, new_thread, resources)
        run = run.evolve(thread_id=thread["_id"])
        first = [("thread.created", thread_view(thread))]
        return await self._start(run, messages, caller, stream=body.stream or False, first=first)

    async def _start(
        self,
        run: Run,
        messages: Sequence[Document],
        caller: Caller,
        *,
        stream: bool,
        first: Sequence[tuple[str, Json]] = (),
        content: bool = False,
    ) -> Response:
        opened = self._streams.open() if stream else None
        try:
            run = await start(self.stores, run.evolve(slots=(opened.slot,) if opened else ()), messages)
        except BaseException:
            if opened:
                await opened.close()
            await self._places.release(caller, run.id)
            raise
        metrics.RUNS_ACCEPTED.inc()
        for message in messages:
            self.announcer.message_changed(message)
        self.announcer.run_changed(run, "created")
        if opened:
            return EventStream(opened, run, caller.version, first=first, content=self._content(content))
        return self.answer(run, caller)

    async def _made_before(self, caller: Caller) -> Run | None:
        """Return the run that an earlier try of the same request made, if it came so far."""
        if not caller.attempt.again:
            return None
        return await self.stores.runs.get(caller.attempt.first_id("run"))

    async def _answer_again(
        self,
        run: Run,
        caller: Caller,
        *,
        stream: bool,
        after: int = 0,
        first: Sequence[tuple[str, Json]] = (),
        content: bool = False,
    ) -> Response:
        """Answer what an earlier try did; with ``stream`` from where its stream began."""
        if not stream:
            return self.answer(run, caller)
        opened = self._streams.open()
        try:
            await self.stores.runs.add_slot(run.id, opened.slot)
            run = await self.stores.runs.get(run.id) or run
        except BaseException:
            await opened.close()
            raise
        self.announcer.run_watched(run, opened.slot)
        shown = self._content(content)
        return EventStream(opened, run, caller.version, after=after, first=first, content=shown)

    def _content(self, wanted: bool) -> SearchContent | None:
        return SearchContent(self.stores.search_results) if wanted else None

    async def submit(self, request: Request, thread_id: str, run_id: str, caller: Caller) -> Response:
        body = await read_body(request, caller.version, SubmitToolOutputs, SubmitToolOutputs)
        run = await find_run(self.stores, caller, thread_id, run_id)
        given = [(each.tool_call_id, each.output or "") for each in body.tool_outputs]
        if caller.attempt.again and (before_it := event_before(run, given)) is not None:
            return await self._answer_again(run, caller, stream=body.stream or False, after=before_it)
        outputs = outputs_of(run, given)
        before = run
        opened = self._streams.open() if body.stream else None
        try:
            if opened:
                await self.stores.runs.add_slot(run.id, opened.slot)
                before = run.evolve(slots=(*run.slots, opened.slot))
            run = await submit(self.stores.runs, before, outputs)
        except BaseException:
            if opened:
                await opened.close()
            raise
        self.announcer.run_changed(run, "outputs_submitted")
        if opened:
            return EventStream(opened, run, caller.version, after=len(before.events))
        return self.answer(run, caller)


def build_router(
    stores: Stores,
    announcer: Announcer,
    shelves: Shelves,
    streams: Streams,
    door: Door,
    settings: Settings,
) -> APIRouter:
    router = APIRouter(prefix="/threads", tags=["Runs"], responses=ERRORS)
    routes = RunRoutes(stores, announcer, shelves, streams, settings)
    _add_creation(router, routes, door)
    _add_reading(router, routes, door)
    _add_changes(router, routes, door)
    return router


def _add_creation(router: APIRouter, routes: RunRoutes, door: Door) -> None:
    @router.post(
        "/runs",
        response_model=RunObject,
        responses=STREAM,
        openapi_extra=operation(CreateThreadAndRun, CreateThreadAndRunV1, required=True),
    )
    async def create_thread_and_run(request: Request, caller: Annotated[Caller, Depends(door)]) -> Response:
        return await routes.create_with_thread(request, caller)

    @router.post(
        "/{thread_id}/runs",
        response_model=RunObject,
        responses=STREAM,
        openapi_extra=operation(CreateRun, CreateRunV1, required=True),
    )
    async def create_run(
        thread_id: str,
        request: Request,
        caller: Annotated[Caller, Depends(door)],
        content: Annotated[bool, Depends(check_includes)],
    ) -> Response:
        return await routes.create(request, thread_id, caller, content=content)


def _add_reading(router: APIRouter, routes: RunRoutes, door: Door) -> None:
    stores = routes.stores

    @router.get("/{thread_id}/runs", response_model=ListAnswer[RunObject], openapi_extra=operation())
    async def list_runs(
        thread_id: str, caller: Annotated[Caller, Depends(door)], paging: Paging
    ) -> JSONResponse:
        _, (runs, has_more) = await both(
            find_thread(stores, caller, thread_id), stores.runs.page(thread_id, paging)
        )
        return answers.many([run_view(run) for run in runs], has_more, caller)

    @router.get("/{thread_id}/runs/{run_id}", response_model=RunObject, openapi_extra=operation())
    async def get_run(thread_id: str, run_id: str, caller: Annotated[Caller, Depends(door)]) -> JSONResponse:
        return routes.answer(await find_run(stores, caller, thread_id, run_id), caller)


def _add_changes(router: APIRouter, routes: RunRoutes, door: Door) -> None:
    stores = routes.stores

    @router.post(
        "/{thread_id}/runs/{run_id}",
        response_model=RunObject,
        openapi_extra=operation(ModifyRun, ModifyRunV1),
    )
    async def modify_run(
        thread_id: str, run_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        body = await read_body(request, caller.version, ModifyRunV1, ModifyRun)
        run = await find_run(stores, caller, thread_id, run_id)
        if not run.ended:
            raise InvalidRequest(f"Cannot update run with status '{run.status}'.")
        metadata = merged(run.metadata, body.metadata)
        if metadata != run.metadata:
            await stores.runs.set_metadata(run, metadata)
        return routes.answer(run.evolve(metadata=metadata), caller)

    @router.post("/{thread_id}/runs/{run_id}/cancel", response_model=RunObject, openapi_extra=operation())
    async def cancel_run(
        thread_id: str, run_id: str, caller: Annotated[Caller, Depends(door)]
    ) -> JSONResponse:
        run = await find_run(stores, caller, thread_id, run_id)
        if caller.attempt.again and run.status in ("cancelling", "cancelled"):
            return routes.answer(run, caller)
        run = await cancel(stores.runs, run)
        routes.announcer.run_changed(run, "cancel_requested")
        return routes.answer(run, caller)

    @router.post(
        "/{thread_id}/runs/{run_id}/submit_tool_outputs",
        response_model=RunObject,
        responses=STREAM,
        openapi_extra=operation(SubmitToolOutputs, required=True),
    )
    async def submit_tool_outputs(
        thread_id: str, run_id: str, request: Request, caller: Annotated[Caller, Depends(door)]
    ) -> Response:
        return await routes.submit(request, thread_id, run_id, caller)
