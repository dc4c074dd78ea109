"""Every state that a run can get into, by applying every fact to every state, breadth first."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from shared.runs import facts as f
from shared.runs.model import Run
from shared.runs.rules import advance
from tests.unit.run_samples import FACTS, QUEUED, of_epoch

MOST_STEPS = 3
MOST_TAKE_OVERS = 1


@dataclass(frozen=True)
class Change:
    before: Run
    fact: f.Fact
    after: Run


@cache
def changes() -> tuple[Change, ...]:
    """Each way from one state to the next, within the bounds; states alike in all that rules look at are one.

    Ways that end outside the bounds are part of it too, but are not followed.
    """
    found: list[Change] = []
    seen, reached = {_state(QUEUED)}, [QUEUED]
    for run in reached:  # grows
        for fact in FACTS.values():
            after = advance(run, of_epoch(fact, run.epoch))
            if after is run:
                continue
            found.append(Change(run, fact, after))
            if _within(after) and (state := _state(after)) not in seen:
                seen.add(state)
                reached.append(after)
    return tuple(found)


def states() -> Iterator[Run]:
    yield QUEUED
    yield from (change.after for change in changes())


def _within(run: Run) -> bool:
    return len(run.steps) <= MOST_STEPS and run.attempt <= MOST_TAKE_OVERS


def _state(run: Run) -> tuple[object, ...]:
    steps = tuple(
        (step.type, step.status, step.superseded, step.turn, bool(step.content), step.calls)
        for step in run.steps
    )
    return run.status, run.phase, run.attempt, run.outcome and run.outcome.status, steps
