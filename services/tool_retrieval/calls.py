"""One search, from the request to its results, which are stored before anybody is told."""

import asyncio
import logging
import time
from contextlib import suppress

from services.tool_retrieval.filters import FilterError
from services.tool_retrieval.index.index import IndexAway
from services.tool_retrieval.searches import Searches
from shared import clock, metrics, tracing
from shared.backoff import backoff_s
from shared.events import SearchRequested, ToolResult
from shared.failpoints import failpoint
from shared.runs.model import Json
from shared.stores.database import PyMongoError
from shared.stores.executions import Claim, ExecutionStore
from shared.stores.search_results import Search, SearchResultStore

log = logging.getLogger(__name__)

TOOL = "file_search"
TRIES = 4  # while the index does not answer
FAILED = "The files could not be searched: the search failed each time it was tried."
AWAY = "The files could not be searched: the index does not answer."


class Calls:
    def __init__(self, executions: ExecutionStore, searches: Searches, results: SearchResultStore) -> None:
        self._executions = executions
        self._searches = searches
        self._results = results

    async def execute(self, request: SearchRequested) -> ToolResult | None:
        """Return the call's result, searching if nobody has; None if it is past its deadline, or not ours."""
        claim = await self._claim(request)
        if claim is None or claim.result is not None:
            return _known(request, claim) if claim else None
        failpoint("retrieval.search_claimed")
        began = time.monotonic()
        try:
            with tracing.tool(TOOL, request.call_id, request.thread_id) as span:
                results, error = await self._search(request)
                outcome = "failed" if error else "completed"
                span.set("threadmill.tool.outcome", outcome)
            result = await self._keep(request, claim, results, error)
        except BaseException:
            with suppress(PyMongoError):  # then its lease lapses
                await self._executions.release(request.call_id, claim.attempt)
            raise
        metrics.TOOL_CALLS.labels(TOOL, outcome).inc()
        metrics.TOOL_SECONDS.labels(TOOL).observe(time.monotonic() - began)
        return result

    async def give_up(self, request: SearchRequested) -> ToolResult | None:
        """Say once and for all that it cannot be done, unless it was."""
        claim = await self._claim(request)
        if claim is None or claim.result is not None:
            return _known(request, claim) if claim else None
        return await self._keep(request, claim, [], FAILED)

    async def _claim(self, request: SearchRequested) -> Claim | None:
        """Wait for the call's turn; None if it does not come before the deadline."""
        while (now := clock.now()) < request.deadline:
            claim = await self._executions.claim(request.call_id, request.run_id, now)
            if claim.wait_until is None:
                return claim
            await asyncio.sleep(min(max(claim.wait_until - now, 0.05), 1.0))
        log.warning("a request came too late")
        return None

    async def _keep(
        self, request: SearchRequested, claim: Claim, results: list[Json], error: str | None
    ) -> ToolResult | None:
        search = Search(
            request.call_id, request.project_id, request.run_id, request.thread_id, request.queries
        )
        await self._results.put(search, results, error, clock.now())
        failpoint("retrieval.results_kept")
        short = [{key: each[key] for key in ("file_id", "file_name", "score")} for each in results]
        kept = {"output": error or "", "results": short}
        if not await self._executions.finish(request.call_id, claim.attempt, kept):
            metrics.FENCED.labels("tool call").inc()
            log.warning("another worker took the search over; its result stands")
            return None
        return _result(request, error or "", short)

    async def _search(self, request: SearchRequested) -> tuple[list[Json], str | None]:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._searches.run(request), None
            except FilterError as error:
                return [], str(error)
            except IndexAway as error:
                log.warning("the index does not answer", exc_info=error)
                await asyncio.sleep(backoff_s(attempt, first_s=0.2, most_s=2.0))
        return [], AWAY


def _result(request: SearchRequested, output: str, results: list[Json]) -> ToolResult:
    return ToolResult(
        call_id=request.call_id,
        run_id=request.run_id,
        token=request.token,
        output=output,
        results=tuple(results),
    )


def _known(request: SearchRequested, claim: Claim) -> ToolResult:
    kept = claim.result or {}
    return _result(request, kept["output"], kept["results"])
