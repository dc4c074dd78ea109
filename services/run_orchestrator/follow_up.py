"""What a run's new phase asks of whoever moved it there. Safe to repeat, by anyone."""

from pydantic import BaseModel, SecretStr

from services.run_orchestrator.call_token import call_token
from services.run_orchestrator.file_search import search_requested
from services.run_orchestrator.files import code_file_ids
from shared import clock, metrics
from shared.events import CodeRequested, RunCommand
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.runs.facts import Settled
from shared.runs.model import Run, ToolCall
from shared.runs.rules import advance, answers_by
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from shared.topics import TOOL_REQUESTS_CODE, TOOL_REQUESTS_RETRIEVAL, Topic


class FollowUp:
    def __init__(
        self, runs: RunStore, messages: MessageStore, publisher: Publisher, call_secret: SecretStr
    ) -> None:
        self._runs = runs
        self._messages = messages
        self._publisher = publisher
        self._call_secret = call_secret

    async def after(self, run: Run) -> Run:
        """Call the tools, leave the run to its client, or end it."""
        if run.phase == "tools":
            await self.request_tools(run)
        elif run.phase == "user":
            await self._runs.mark_published(run)
        elif run.phase == "ending":
            return await self.settle(run)
        elif run.phase == "runnable":  # whoever has room goes on
            command = RunCommand(
                run_id=run.id, thread_id=run.thread_id, reason="handed_over", published=run.published
            )
            await self._publisher.command(command)
        return run

    async def request_tools(self, run: Run) -> None:
        awaited = {call.id for call in run.awaited}
        for index, call in enumerate(run.step.calls if run.step else ()):
            if call.type == "function" or call.id not in awaited:
                continue
            topic, key, request = self._request(run, call, index)
            failpoint("orchestrator.request_unsent")
            await self._publisher.request(topic, key, request)
            failpoint("orchestrator.request_sent")

    def _request(self, run: Run, call: ToolCall, index: int) -> tuple[Topic, str, BaseModel]:
        """What to send where, and the key to send it under."""
        token = call_token(self._call_secret, run.project_id, run.id, call.id)
        if call.type == "file_search":
            return TOOL_REQUESTS_RETRIEVAL, call.id, search_requested(run, call, token)
        request = CodeRequested(
            call_id=call.id,
            run_id=run.id,
            thread_id=run.thread_id,
            project_id=run.project_id,
            code=call.input,
            token=token,
            deadline=answers_by(run),
            files=code_file_ids(run),
            step_id=run.step.id if run.step else "",
            index=index,
            slots=run.slots,
        )
        return TOOL_REQUESTS_CODE, run.thread_id, request

    async def settle(self, run: Run) -> Run:
        """End a run whose end is decided."""
        now = clock.now()
        failpoint("orchestrator.unsettled")
        run, ended = await self._runs.change(run, lambda run: advance(run, Settled(now)))
        failpoint("orchestrator.settled")
        if ended:
            count_end(run, now)
        return await self.publish(run)

    async def publish(self, run: Run) -> Run:
        """Announce what was not announced yet, and note it."""
        announced = await self._publisher.announce(run)
        failpoint("orchestrator.end_announced")
        if announced.published.n == len(announced.events):
            await self._runs.mark_published(announced)
            failpoint("orchestrator.end_marked")
        return announced

    async def show_messages(self, run: Run) -> None:
        """Write every message of the run as the run has it: its owner may have died before."""
        for step in run.steps:
            if step.message_id:
                await self._messages.write_step(run, step)


def count_end(run: Run, now: float) -> None:
    metrics.RUNS.labels(run.status).inc()
    metrics.RUN_SECONDS.labels(run.status).observe(now - run.events[0].at)
    metrics.TOKENS.labels("prompt").inc(run.used.prompt_tokens)
    metrics.TOKENS.labels("completion").inc(run.used.completion_tokens)
