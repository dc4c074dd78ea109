"""Kafka in, MongoDB out: each record is one read, one decision, one conditional write."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaRouter
from faststream.kafka.annotations import KafkaMessage
from pydantic import SecretStr

from services.run_orchestrator.batches import prompt
from services.run_orchestrator.call_token import call_token
from services.run_orchestrator.file_search import stored_results
from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.turns import Turns
from shared import clock, logs, metrics, topics, tracing
from shared.events import RunCommand, ToolResult
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.records import Records
from shared.runs.facts import GivenUp, ToolAnswered
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.settings import ServiceSettings
from shared.stores.runs import RunStore

log = logging.getLogger(__name__)

GROUP = topics.ORCHESTRATOR_GROUP
MOST_AT_ONCE = 64  # records of one topic that are handled side by side
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
            failpoint("orchestrator.command_taken")
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
            failpoint("orchestrator.result_taken")
            run = await self._runs.get(result.run_id)
            if run is None or not self._signed(run, result):
                metrics.TOOL_RESULTS.labels("refused").inc()
                log.warning(
                    "refused a tool result", extra={"reason": "unknown run" if run is None else "token"}
                )
                return
            found = stored_results(result.results)
            answered = ToolAnswered(
                result.call_id, result.output, clock.now(), result.outputs, result.files, found
            )
            after, taken = await self._runs.change(run, lambda r: self._answer(r, answered))
            failpoint("orchestrator.result_saved")
            metrics.TOOL_RESULTS.labels("accepted" if taken else "repeated").inc()
            if not taken or after.phase == "tools":
                return  # a repeat, or other calls are still awaited
            await self._go_on(after)

    async def advance_run(self, run: Run) -> None:
        """Claim a run that waits for an owner; end one whose end is decided."""
        if run.phase == "ending":
            await self._follow_up.show_messages(run)
            await self._follow_up.settle(run)
            return
        async with self._turns.place():
            before = run
            run, claimed = await self._runs.change(run, self._turns.claim)
            failpoint("orchestrator.claimed")
            if claimed:
                count_claim(before, run)
                await self._go_on(run)

    async def _go_on(self, run: Run) -> None:
        if run.phase == "ending" or any(step.superseded for step in run.steps):
            await self._follow_up.show_messages(run)  # a lost attempt's draft is closed, or leaves the thread
        if run.phase == "llm" and run.owner == self._turns.owner:
            self._turns.start(run)  # which announces what is new
        else:
            await self._follow_up.after(await self._publisher.announce(run))

    async def give_up_command(self, command: RunCommand) -> None:
        """The command fails each time: end its run, which the sweeper would only fail with again."""
        if run := await self._runs.get(command.run_id):
            await self.give_up(run)

    async def give_up_result(self, result: ToolResult) -> None:
        run = await self._runs.get(result.run_id)
        if run and self._signed(run, result):
            await self.give_up(run)

    async def give_up(self, run: Run) -> None:
        now = clock.now()
        run, given_up = await self._runs.change(run, lambda r: advance(r, GivenUp(now)))
        if given_up:
            log.error("gave up a run with which everything fails", extra={"run_id": run.id})
            await self._follow_up.show_messages(run)
            await self._follow_up.settle(run)

    def _answer(self, run: Run, answered: ToolAnswered) -> Run:
        """Take the output; if it was the last one, and there is room, claim the run in the same write."""
        after = advance(run, answered)
        if after is run or after.phase != "runnable" or self._turns.full:
            return after
        return self._turns.claim(after)

    def _signed(self, run: Run, result: ToolResult) -> bool:
        expected = call_token(self._call_secret, run.project_id, run.id, result.call_id)
        return hmac.compare_digest(expected.encode(), result.token.encode())


def count_claim(before: Run, run: Run) -> None:
    if run.attempt > before.attempt:
        metrics.TAKE_OVERS.inc()
    *earlier, last = run.events
    if last.type == "thread.run.in_progress":
        queued = next(event.at for event in reversed(earlier) if event.type == "thread.run.queued")
        metrics.QUEUE_SECONDS.observe(max(last.at - queued, 0.0))


def build_router(settings: ServiceSettings, handlers: Handlers, publisher: Publisher) -> KafkaRouter:
    """Subscribe the handlers.

    The arguments undo FastStream defaults that lose records: commit before processing,
    start at the newest record, and no group to resume from. A group for each topic: in one
    for both, each consumer that comes or goes would stop the other.
    """
    router = KafkaRouter()
    prefix, tries = settings.topic_prefix, settings.record_tries
    session_ms = int(settings.kafka_session_s * 1000)
    commands = Records(RunCommand, handlers.on_run_command, handlers.give_up_command, publisher, tries=tries)
    results = Records(ToolResult, handlers.on_tool_result, handlers.give_up_result, publisher, tries=tries)
    for topic, take in ((topics.RUN_COMMANDS, commands.take), (topics.TOOL_RESULTS, results.take)):
        subscribe = router.subscriber(
            prefix + topic.name,
            group_id=topics.group_of(topic, prefix),
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            batch=True,
            max_records=MOST_AT_ONCE,
            max_poll_interval_ms=LONGEST_WAIT_MS,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 3,
        )
        prompt(subscribe)(side_by_side(take))
    return router


def side_by_side(
    take: Callable[[ConsumerRecord], Awaitable[None]],
) -> Callable[[KafkaMessage], Awaitable[None]]:
    """Return a handler of batches: no record waits for one of another key; committed together.

    Records of one key keep their order: of two results for a call, the first stands.
    """

    async def take_in_turn(records: list[ConsumerRecord]) -> None:
        for record in records:
            with tracing.received(record.topic, GROUP, record):
                await take(record)

    async def handle_batch(message: KafkaMessage) -> None:
        records = message.raw_message
        assert isinstance(records, tuple), "subscribed with batch=True"
        by_key: dict[bytes | None, list[ConsumerRecord]] = {}
        for record in records:
            by_key.setdefault(record.key, []).append(record)
        await asyncio.gather(*map(take_in_turn, by_key.values()))
        failpoint("orchestrator.batch_done")

    return handle_batch
