"""Files and searches in, results out."""

import logging

from services.tool_retrieval.calls import Calls
from services.tool_retrieval.index.index import IndexAway
from services.tool_retrieval.ingest import Ingest
from shared import logs
from shared.events import FileCommand, Frame, SearchRequested, ToolResult
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.stores.vector_store_files import id_of
from shared.topics import TOOL_RESULTS

log = logging.getLogger(__name__)

SEARCHED = "search.completed"


class Handlers:
    def __init__(self, ingest: Ingest, calls: Calls, publisher: Publisher) -> None:
        self._ingest = ingest
        self._calls = calls
        self._publisher = publisher

    async def on_file_command(self, command: FileCommand) -> None:
        """Do what the file needs. Safe to repeat, and to lose: the sweeper looks at its document."""
        failpoint("retrieval.command_taken")
        with logs.about(vector_store_id=command.vector_store_id, file_id=command.file_id):
            try:
                if command.reason == "dropped":
                    await self._ingest.drop(command.project_id, command.vector_store_id)
                else:
                    await self._ingest.look_at(id_of(command.vector_store_id, command.file_id))
            except IndexAway as error:
                log.warning("a file is looked at again later", exc_info=error)

    async def leave_to_the_sweeper(self, command: FileCommand) -> None:
        """The command fails each time; what its document says is not lost with it."""

    async def on_search_requested(self, request: SearchRequested) -> None:
        """Search, and publish what was found. Safe to repeat: the ledger knows what was done."""
        with logs.about(run_id=request.run_id, thread_id=request.thread_id, call_id=request.call_id):
            if result := await self._calls.execute(request):
                await self._answer(request, result)

    async def give_up_search(self, request: SearchRequested) -> None:
        """The search fails each time: whoever asked is told so."""
        with logs.about(run_id=request.run_id, thread_id=request.thread_id, call_id=request.call_id):
            if result := await self._calls.give_up(request):
                await self._answer(request, result)

    async def _answer(self, request: SearchRequested, result: ToolResult) -> None:
        if request.run_id:
            await self._publisher.request(TOOL_RESULTS, request.run_id, result)
        if request.reply_to:
            frame = Frame(
                run_id="", epoch=0, seq=0, event=SEARCHED, data={"call_id": request.call_id}, streams=()
            )
            await self._publisher.frame_to([request.reply_to], frame)
        failpoint("retrieval.result_sent")
