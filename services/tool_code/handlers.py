"""Requests in, results out."""

import asyncio
import logging

from services.tool_code.calls import Calls
from shared import logs
from shared.events import CodeRequested, Control
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.topics import TOOL_RESULTS

log = logging.getLogger(__name__)


class Handlers:
    def __init__(self, calls: Calls, publisher: Publisher) -> None:
        self._calls = calls
        self._publisher = publisher
        self._running: dict[str, set[asyncio.Task[None]]] = {}  # by run
        self._interrupted: set[asyncio.Task[None]] = set()
        self._stopped: set[str] = set()  # calls that were interrupted, until the ledger says so

    async def on_code_requested(self, request: CodeRequested) -> None:
        """Execute the call and publish its result. Safe to repeat: the ledger knows what was done."""
        failpoint("tool_code.request_taken")
        with logs.about(run_id=request.run_id, thread_id=request.thread_id, call_id=request.call_id):
            if request.call_id not in self._stopped:
                await self._execute(request)
            if request.call_id in self._stopped:  # should the request come again, the code is not run again
                await self._calls.give_up(request)
                self._stopped.discard(request.call_id)

    def on_control(self, message: Control) -> None:
        """Interrupt what runs for a run that is to be cancelled."""
        if message.type != "cancel":
            return
        for task in self._running.get(message.run_id, ()):
            log.info("interrupted", extra={"run_id": message.run_id})
            self._interrupted.add(task)
            task.cancel()

    async def give_up(self, request: CodeRequested) -> None:
        """The call fails each time, and not by its code: its run goes on without."""
        with logs.about(run_id=request.run_id, thread_id=request.thread_id, call_id=request.call_id):
            if result := await self._calls.give_up(request):
                await self._publisher.request(TOOL_RESULTS, request.run_id, result)

    async def _execute(self, request: CodeRequested) -> None:
        task = asyncio.create_task(self._answer(request))
        tasks = self._running.setdefault(request.run_id, set())
        tasks.add(task)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # the service stops: the request comes again, elsewhere
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            tasks.discard(task)
            if not tasks:
                self._running.pop(request.run_id, None)
        if task in self._interrupted:
            self._interrupted.discard(task)
            self._stopped.add(request.call_id)
        elif not task.cancelled() and (failure := task.exception()):
            raise failure

    async def _answer(self, request: CodeRequested) -> None:
        result = await self._calls.execute(request)
        if result is not None:
            await self._publisher.request(TOOL_RESULTS, request.run_id, result)
            failpoint("tool_code.result_sent")
