"""An extension: the events of a run, from any place on, to any number of readers."""

import logging
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from services.gateway.announcer import Announcer
from services.gateway.auth import Caller, Door
from services.gateway.documents import ERRORS, operation
from services.gateway.lookup import find_run
from services.gateway.sse import EventStream
from services.gateway.stores.all import Stores
from services.gateway.stream.places import Place, place
from services.gateway.stream.streams import Streams
from shared.errors import InvalidRequest
from shared.runs.model import Run
from shared.stores.database import PyMongoError

log = logging.getLogger(__name__)

MOST_LIVE = 64  # streams of one run that get deltas at once; further ones get what the store has
ABOUT = (
    "The run's events as in its stream, to its end: past `thread.run.requires_action` too. Each has an `id`; "
    "a client that comes back with the last one, in `Last-Event-ID` or `after`, misses nothing and gets "
    "nothing twice. What was already written of a message comes as one delta, so that the deltas always add "
    "up. Ends with `done`; `: ping` after 15 s of silence."
)
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": ABOUT}
}
AFTER = "The `id` of the last event that the client has seen, as it came; or the number of an event, from 1."


def build_router(stores: Stores, announcer: Announcer, streams: Streams, door: Door) -> APIRouter:
    router = APIRouter(prefix="/threads", tags=["Extensions"], responses=ERRORS)

    @router.get(
        "/{thread_id}/runs/{run_id}/events",
        response_model=None,
        responses=EVENTS,
        openapi_extra=operation(),
    )
    async def follow_run(
        thread_id: str,
        run_id: str,
        caller: Annotated[Caller, Depends(door)],
        after: Annotated[str, Query(description=AFTER)] = "0",
        last_event_id: Annotated[str | None, Header(description="Wins over `after`.")] = None,
    ) -> Response:
        run = await find_run(stores, caller, thread_id, run_id)
        begin = begin_of(run, last_event_id or after)
        opened = streams.open()
        listens = not run.ended and len(run.slots) < MOST_LIVE
        try:
            if listens:
                await stores.runs.add_slot(run.id, opened.slot)
                run = await find_run(stores, caller, thread_id, run_id)
        except BaseException:
            await opened.close()
            raise
        if listens:
            announcer.run_watched(run, opened.slot)
        leave = partial(_leave, stores, run.id, opened.slot.stream) if listens else None
        return EventStream(opened, run, caller.version, begin=begin, on_close=leave)

    return router


def begin_of(run: Run, text: str) -> Place:
    """
    Raises:
        InvalidRequest: no stream of the run can have said so.
    """
    try:
        begin = place(text)
    except ValueError:
        raise InvalidRequest("Not an event's id: send it back as it came.", param="after") from None
    if begin.seq > len(run.events):
        raise InvalidRequest(f"The run has {len(run.events)} events so far.", param="after")
    return begin


async def _leave(stores: Stores, run_id: str, stream: str) -> None:
    try:
        await stores.runs.remove_slot(run_id, stream)
    except PyMongoError as error:  # frames go on to where nobody listens; that is no harm
        log.warning("a stream that ended is still noted in its run", extra={"reason": repr(error)})
