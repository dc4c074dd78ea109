"""Kafka in, MongoDB out: each record is one read, one decision, one conditional write."""

import hmac
import logging
import time

from faststream import AckPolicy
from faststream.kafka import KafkaRouter
from pydantic import SecretStr

from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.turns import Turns
from shared import logs, topics
from shared.events import RunCommand, ToolResult
from shared.publisher import Publisher
from shared.runs.facts import ToolAnswered
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.stores.runs import RunStore
from shared.tokens import call_token

log = logging.getLogger(__name__)

GROUP = "run-orchestrator"
LONGEST_WAIT_MS = 15 * 60 * 1000  # a handler may wait for room in the pool, at most as long as runs live


class Handlers:
    """Reacts to what arrives; each method is safe to repeat."""

    def __init__(
        self, runs: RunStore, turns: Turns, publisher: Publisher, follow_up: FollowUp, call_secret: SecretStr
    ) -> None:
        self._runs = runs
        self._turns = turns
        self._publisher = publisher
        self._follow_up = follow_up
        self._call_secret = call_secret

    async def on_run_command(self, command: RunCommand) -> None:
        """Do with the run what its phase asks for."""
        with logs.about(run_id=command.run_id, thread_id=command.thread_id):
            run = await self._runs.get(command.run_id)
            if run is None:
                log.warning("a command for an unknown run")
                return
            if command.published.n > run.published.n:
                run = run.evolve(published=command.published)
            await self.advance_run(run)

    async def on_tool_result(self, result: ToolResult) -> None:
        """Accept the first result of an awaited call; after the last one, go on at once."""
        with logs.about(run_id=result.run_id, call_id=result.call_id):
            run = await self._runs.get(result.run_id)
            if run is None or not self._signed(run, result):
                log.warning(
                    "refused a tool result", extra={"reason": "unknown run" if run is None else "token"}
                )
                return
            answered = ToolAnswered(result.call_id, result.output, time.time(), result.outputs)
            after, taken = await self._runs.change(run, lambda r: self._answer(r, answered), now=time.time())
            if not taken or after.phase == "tools":
                return  # a repeat, or other calls are still awaited
            await self._go_on(after)

    async def advance_run(self, run: Run) -> None:
        """Claim a run that waits for an owner; end one whose end is decided."""
        if run.phase == "ending":
            await self._follow_up.show_messages(run)
            await self._follow_up.settle(run)
            return
        await self._turns.room()
        run, claimed = await self._runs.change(run, self._turns.claim, now=time.time())
        if claimed:
            await self._go_on(run)

    async def _go_on(self, run: Run) -> None:
        if any(step.superseded for step in run.steps):
            await self._follow_up.show_messages(run)  # a lost attempt's draft leaves the thread
        run = await self._publisher.announce(run)
        if run.phase == "llm" and run.owner == self._turns.owner:
            self._turns.start(run)
        else:
            await self._follow_up.after(run)

    def _answer(self, run: Run, answered: ToolAnswered) -> Run:
        """Take the output; if it was the last one, and there is room, claim the run in the same write."""
        after = advance(run, answered)
        if after is run or after.phase != "runnable" or self._turns.full:
            return after
        return self._turns.claim(after)

    def _signed(self, run: Run, result: ToolResult) -> bool:
        expected = call_token(self._call_secret, run.project_id, run.id, result.call_id)
        return hmac.compare_digest(expected, result.token)


def build_router(prefix: str, handlers: Handlers) -> KafkaRouter:
    """Subscribe the handlers.

    The arguments undo FastStream defaults that lose records: commit before processing,
    start at the newest record, and no group to resume from.
    """
    router = KafkaRouter()
    for topic, handler in (
        (topics.RUN_COMMANDS, handlers.on_run_command),
        (topics.TOOL_RESULTS, handlers.on_tool_result),
    ):
        subscribe = router.subscriber(
            prefix + topic.name,
            group_id=GROUP,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            max_poll_interval_ms=LONGEST_WAIT_MS,
        )
        subscribe(handler)
    return router
