"""The owner's hold on its run: each fact is saved under its epoch, then made visible, then announced."""

from services.run_orchestrator.frames import heard_by
from shared import metrics
from shared.failpoints import failpoint
from shared.publisher import Publisher
from shared.runs import facts as f
from shared.runs.model import Run, Slot, Step
from shared.runs.rules import advance
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore


class Fenced(Exception):
    """Another owner took the run: drop everything."""


class Cancelled(Exception):
    """A client wants the run cancelled: let go of the model, then say so."""


class Ledger:
    """``run`` is as it was last saved. The order is: store, messages, broker; each step may be repeated."""

    def __init__(self, run: Run, runs: RunStore, messages: MessageStore, publisher: Publisher) -> None:
        self.run = run
        self.epoch = run.epoch
        self._runs = runs
        self._messages = messages
        self._publisher = publisher
        self._late: list[Slot] = []

    def admit(self, slot: Slot) -> None:
        """Announce to one more stream from now on; the gateway has stored it."""
        self._late.append(slot)
        self.run = heard_by(self.run, self._late)

    async def tell(self) -> None:
        """Announce what was not announced yet."""
        self.run = heard_by(await self._publisher.announce(self.run), self._late)

    async def save(self, fact: f.Fact) -> Run:
        """Save ``fact``, show the messages that it changed, and announce its events.

        Raises:
            Fenced: the run has another owner by now.
            Cancelled: it is to be cancelled; the fact may not have been taken.
        """
        before = self.run
        failpoint("orchestrator.fact_unsaved")
        after, _ = await self._runs.change(before, lambda run: advance(run, fact))
        failpoint("orchestrator.fact_saved")
        self.run = after = heard_by(after, self._late)
        if after.epoch != self.epoch or after.ended:
            metrics.FENCED.labels("run").inc()
            raise Fenced(after.id)
        for step in _changed_messages(before, after):
            await self._messages.write_step(after, step)
        failpoint("orchestrator.fact_shown")
        if after.phase != "ending":  # else it is told with the end, which comes at once
            await self.tell()
        failpoint("orchestrator.fact_announced")
        if after.status == "cancelling" and after.phase == "llm":
            raise Cancelled(after.id)
        return self.run


def _changed_messages(before: Run, after: Run) -> list[Step]:
    known = {step.id: step for step in before.steps}
    return [step for step in after.steps if step.message_id and known.get(step.id) is not step]
