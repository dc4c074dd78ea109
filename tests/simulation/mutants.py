"""Deliberate mistakes in the product: each is one that a change could make, and that must be found."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers
from services.run_orchestrator.ledger import Ledger
from services.run_orchestrator.sweeper import Sweeper
from services.run_orchestrator.turns import Turns
from shared.ids import new_id
from shared.publisher import Publisher
from shared.runs import facts as f
from shared.runs import rules
from shared.runs.model import Published, Run, Step
from shared.stores import runs as run_store
from shared.stores.executions import Claim, ExecutionStore
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore

Patch = tuple[object, str, object]
real_advance, real_update = rules.advance, run_store._update


@dataclass(frozen=True)
class Mutant:
    """``found_by`` are the invariants that say so; others may, too."""

    name: str
    patches: Callable[[], list[Patch]]
    found_by: frozenset[int]
    focus: tuple[str, ...] = ()  # the faults that bring it out

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for where, name, mistake in self.patches():
                stack.enter_context(patch.object(where, name, mistake))
            yield


def everywhere(real: object, mistake: object) -> list[Patch]:
    """Replace a function in every module that imported it."""
    found: list[Patch] = []
    for name, module in list(sys.modules.items()):
        if name.startswith(("services.", "shared.")):
            found += [(module, known, mistake) for known, value in vars(module).items() if value is real]
    return found


def rule(fact: type[Any], mistake: Callable[[Run, Any], Run]) -> list[Patch]:
    return [(rules, "RULES", {**rules.RULES, fact: mistake})]


def no_epoch_check(run: Run, fact: f.Fact) -> Run:
    return run if run.ended else rules.RULES[type(fact)](run, fact)


def terminal_is_not_frozen(run: Run, fact: f.Fact) -> Run:
    if run.ended and isinstance(fact, f.ToolAnswered | f.CancelRequested | f.Expired):
        run = run.evolve(phase="tools" if isinstance(fact, f.ToolAnswered) else "runnable")
        return rules.RULES[type(fact)](run, fact)
    return real_advance(run, fact)


def late_output_taken(run: Run, fact: f.Fact) -> Run:
    """Whatever became of the run: the call is known, so its output is kept."""
    if not isinstance(fact, f.ToolAnswered) or run.phase == "tools":
        return real_advance(run, fact)
    for index, step in enumerate(run.steps):
        if any(call.id == fact.call_id and call.output is None for call in step.calls):
            calls = tuple(
                call.evolve(output=fact.output) if call.id == fact.call_id else call for call in step.calls
            )
            return run.evolve(steps=(*run.steps[:index], step.evolve(calls=calls), *run.steps[index + 1 :]))
    return run


def claimed_though_held(run: Run, fact: f.Claimed) -> Run:
    """Whoever comes takes the run, under the epoch that it has."""
    after = rules._claimed(run, replace(fact, now=max(fact.now, run.wake_at)))
    return after.evolve(epoch=max(run.epoch, 1)) if after is not run else run


def draft_kept(run: Run, fact: f.Claimed) -> Run:
    """Whoever takes a run over goes on behind what the lost owner wrote of its turn."""
    with patch.object(rules, "supersede_turn", lambda run, now: run):
        return rules._claimed(run, fact)


def second_result_wins(run: Run, fact: f.ToolAnswered) -> Run:
    if run.phase == "tools" and run.step and fact.call_id not in {call.id for call in run.awaited}:
        calls = tuple(
            call.evolve(output=fact.output) if call.id == fact.call_id else call for call in run.step.calls
        )
        return run.evolve(steps=(*run.steps[:-1], run.step.evolve(calls=calls)))
    return rules._tool_answered(run, fact)


def cancelling_completes(run: Run, fact: f.Answered) -> Run:
    """The answer is there already, so why not?"""
    after = rules._answered(run.evolve(status="in_progress"), fact)
    return after.evolve(status=run.status)


async def save_without_version(self: RunStore, before: Run, after: Run) -> Run:
    after = after.evolve(version=before.version + 1)
    await self._runs.update_one({"_id": before.id}, real_update(before, after))
    return after


def lock_released_early(before: Run, after: Run) -> dict[str, Any]:
    update = real_update(before, after)
    if after.phase == "ending":
        update["$unset"] = {"active": True}
    return update


async def no_lock(self: RunStore) -> None:
    await self._runs.create_index([("thread_id", 1), ("seq", 1)], unique=True)


async def random_message_ids(self: MessageStore, run: Run, step: Step) -> None:
    await real_write_step(self, run, step.evolve(message_id=new_id("msg")))


async def end_without_messages(self: FollowUp, run: Run) -> None:
    """The end is told first; the messages are left to the sweeper."""


async def save_without_messages(self: Ledger, fact: f.Fact) -> Run:
    self._messages = cast(MessageStore, SimpleNamespace(write_step=_nothing))
    return await real_save(self, fact)


async def message_after_the_end(self: FollowUp, run: Run) -> Run:
    run = await real_settle(self, run)
    for step in run.steps:
        if step.message_id:
            await real_write_step(self._messages, run, step)
    return run


async def _nothing(*_: Any) -> None:
    pass


async def believed_published(self: Publisher, run: Run) -> Run:
    """The mark moves before the broker has answered, whatever it answers."""
    await real_announce(self, run)
    return run.evolve(published=Published(generation=self.generation, n=len(run.events)))


async def untagged_mark(self: Publisher, run: Run) -> Run:
    return await real_announce(self, run.evolve(published=run.published.evolve(generation=self.generation)))


async def told_before_saved(self: Ledger, fact: f.Fact) -> Run:
    await self._publisher.announce(real_advance(self.run, fact))
    return await real_save(self, fact)


async def no_repair(self: RunStore, now: float, *, limit: int = 100) -> list[Run]:
    return []


async def no_refill(self: RunStore, generation: str, *, since: float, now: float) -> int:
    return 0


async def no_ledger(self: ExecutionStore, call_id: str, run_id: str, now: float) -> Claim:
    await real_claim(self, call_id, run_id, now)
    return Claim()


async def kept_at_the_end(self: Turns) -> None:
    """SIGTERM: the runs are handed over by a command alone."""
    self._draining = True
    for task in self._tasks.values():
        task.cancel()


def unsigned(self: Handlers, run: Run, result: Any) -> bool:
    return True


async def sweeps_nothing(self: Sweeper) -> None:
    pass


real_write_step = MessageStore.write_step
real_save, real_settle = Ledger.save, FollowUp.settle
real_announce, real_claim = Publisher.announce, ExecutionStore.claim

MUTANTS = (
    Mutant(
        "no epoch check",
        lambda: everywhere(real_advance, no_epoch_check),
        frozenset({5, 7, 15, 16}),
        ("stop",),
    ),
    Mutant("an end can change", lambda: everywhere(real_advance, terminal_is_not_frozen), frozenset({3, 14})),
    Mutant(
        "a result is taken after the end",
        lambda: everywhere(real_advance, late_output_taken),
        frozenset({3, 14}),
    ),
    Mutant("claimed though held", lambda: rule(f.Claimed, claimed_though_held), frozenset({15, 16})),
    Mutant(
        "saved without the version", lambda: [(RunStore, "save", save_without_version)], frozenset({3, 8})
    ),
    Mutant("lock released early", lambda: [(run_store, "_update", lock_released_early)], frozenset({4})),
    Mutant("no lock of the thread", lambda: [(RunStore, "create_indexes", no_lock)], frozenset({4})),
    Mutant(
        "random message ids", lambda: [(MessageStore, "write_step", random_message_ids)], frozenset({5, 6})
    ),
    Mutant(
        "the end before the message",
        lambda: [(Ledger, "save", save_without_messages), (FollowUp, "settle", message_after_the_end)],
        frozenset({6}),
    ),
    Mutant(
        "a dead owner's message forgotten",
        lambda: [(FollowUp, "show_messages", end_without_messages)],
        frozenset({5, 6}),
    ),
    Mutant("marked before published", lambda: [(Publisher, "announce", believed_published)], frozenset({9})),
    Mutant("untagged mark", lambda: [(Publisher, "announce", untagged_mark)], frozenset({9})),
    Mutant("published before saved", lambda: [(Ledger, "save", told_before_saved)], frozenset({10})),
    Mutant(
        "untold ends are not looked for", lambda: [(RunStore, "unannounced", no_repair)], frozenset({9, 26})
    ),
    Mutant("a new broker stays empty", lambda: [(RunStore, "publish_again", no_refill)], frozenset({9})),
    Mutant("no ledger of calls", lambda: [(ExecutionStore, "claim", no_ledger)], frozenset({13})),
    Mutant(
        "handed over, not released", lambda: [(Turns, "drain", kept_at_the_end)], frozenset({22}), ("leave",)
    ),
    Mutant(
        "unsigned results are taken",
        lambda: [(Handlers, "_signed", unsigned)],
        frozenset({14}),
        ("record forged",),
    ),
    Mutant("a lost draft is kept", lambda: rule(f.Claimed, draft_kept), frozenset({7}), ("kill", "stop")),
    Mutant(
        "the second result wins",
        lambda: rule(f.ToolAnswered, second_result_wins),
        frozenset({12}),
        ("record doubled",),
    ),
    Mutant(
        "cancelling completes",
        lambda: rule(f.Answered, cancelling_completes),
        frozenset({17}),
        ("record lost",),
    ),
    Mutant("nobody sweeps", lambda: [(Sweeper, "sweep", sweeps_nothing)], frozenset({2, 26})),
)
