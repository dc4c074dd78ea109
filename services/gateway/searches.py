"""A search that a client asks for: told to those who search, and waited for."""

import asyncio

from services.gateway.announcer import Announcer
from services.gateway.auth import Caller
from services.gateway.stores.all import Stores
from services.gateway.stream.bell import Bell
from services.gateway.stream.streams import Streams
from services.gateway.wire.vector_stores import SearchRanking, SearchVectorStore
from shared import clock
from shared.errors import Unavailable
from shared.events import SearchRequested
from shared.runs.model import Json
from shared.stores.database import Document

FIRST_LOOK_S, LAST_LOOK_S = 0.1, 1.0  # between looks into the store, in case that the bell was not heard
RING_AGAIN_S = 5.0
NO_ANSWER = "The search was not answered in time. Please try again."
MOST_RESULTS = 10


class Searches:
    def __init__(self, stores: Stores, announcer: Announcer, streams: Streams, *, patience_s: float) -> None:
        self._stores = stores
        self._announcer = announcer
        self._streams = streams
        self._patience_s = patience_s

    async def search(self, caller: Caller, vector_store_id: str, body: SearchVectorStore) -> list[Json]:
        """Return what is found, best first, as the store of search results has it.

        Raises:
            Unavailable: nobody who searches answers, or the search went wrong.
        """
        ranking = body.ranking_options or SearchRanking()
        call_id = caller.new_id("call")
        earlier = await self._stores.search_results.get(call_id) if caller.attempt.again else None
        if earlier and earlier["error"] is not None:
            call_id = caller.new_id("call")
        bell = self._streams.bell()
        request = SearchRequested(
            call_id=call_id,
            project_id=caller.project_id,
            deadline=clock.now() + self._patience_s,
            queries=body.queries(),
            vector_store_ids=(vector_store_id,),
            max_num_results=body.max_num_results or MOST_RESULTS,
            score_threshold=ranking.score_threshold,
            ranker=ranking.ranker,
            filters=body.filters.model_dump() if body.filters else None,
            rewrite_query=body.rewrite_query or False,
            reply_to=bell.slot,
        )
        try:
            async with asyncio.timeout(self._patience_s):
                found = await self._answer(request, bell)
        except TimeoutError:
            raise Unavailable(NO_ANSWER) from None
        finally:
            bell.close()
        if found["error"] is not None:
            raise Unavailable(found["error"])
        results: list[Json] = found["results"]
        return results

    async def _answer(self, request: SearchRequested, bell: Bell) -> Document:
        ringing = asyncio.create_task(self._ring(request))
        try:
            pause_s = FIRST_LOOK_S
            while True:
                rung = await bell.wait(pause_s)
                if (found := await self._stores.search_results.get(request.call_id)) is not None:
                    return found
                if not rung:
                    pause_s = min(2 * pause_s, LAST_LOOK_S)
        finally:
            ringing.cancel()
            await asyncio.gather(ringing, return_exceptions=True)

    async def _ring(self, request: SearchRequested) -> None:
        """Ask, and again after a while: whoever was asked first may have died."""
        while True:
            await self._announcer.search(request)
            await asyncio.sleep(RING_AGAIN_S)
