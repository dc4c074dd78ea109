"""The rules of a run: each fact in each situation, and nothing where no line says otherwise."""

from typing import get_args

import pytest

from shared.runs import facts as f
from shared.runs.rules import RULES, advance, created
from tests.unit.run_samples import (
    FACTS,
    NOW,
    SITUATIONS,
    new_run,
    of_epoch,
)

STEP = "run.step.created run.step.in_progress"
MESSAGE = f"{STEP} message.created message.in_progress"

# fact, situations, status/phase after it, new events (without "thread.")
TABLE = [
    ("claimed", "queued, answered user", "in_progress/llm", "run.in_progress"),
    ("claimed", "answered tool", "in_progress/llm", ""),
    ("claimed", "left", "cancelling/ending", ""),
    ("taken over", "queued, answered user", "in_progress/llm", "run.in_progress"),
    ("taken over", "llm, answered tool", "in_progress/llm", ""),
    ("taken over", "writing", "in_progress/llm", "run.step.failed message.incomplete"),
    ("taken over", "calling", "in_progress/llm", "run.step.failed"),
    ("taken over", "told", "in_progress/llm", "message.deleted run.step.failed"),
    ("taken over", "stopping, left", "cancelling/ending", ""),
    ("taken over", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("taken over", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("released", "llm", "in_progress/runnable", ""),
    ("released", "writing", "in_progress/runnable", "run.step.failed message.incomplete"),
    ("released", "calling", "in_progress/runnable", "run.step.failed"),
    ("released", "told", "in_progress/runnable", "message.deleted run.step.failed"),
    ("released", "stopping", "cancelling/runnable", ""),
    ("released", "stopping writing", "cancelling/runnable", "run.step.failed message.incomplete"),
    ("released", "stopping calling", "cancelling/runnable", "run.step.failed"),
    ("restarted", "writing", "in_progress/llm", "run.step.failed message.incomplete"),
    ("restarted", "calling", "in_progress/llm", "run.step.failed"),
    ("restarted", "told", "in_progress/llm", "message.deleted run.step.failed"),
    ("restarted", "stopping writing", "cancelling/llm", "run.step.failed message.incomplete"),
    ("restarted", "stopping calling", "cancelling/llm", "run.step.failed"),
    ("message started", "llm", "in_progress/llm", MESSAGE),
    ("calls started", "llm", "in_progress/llm", STEP),
    ("calls started", "writing", "in_progress/llm", f"message.completed run.step.completed {STEP}"),
    ("code called", "calling, told", "in_progress/tools", ""),
    ("code called", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("function called", "calling, told", "requires_action/user", "run.requires_action"),
    ("function called", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("both called", "calling, told", "in_progress/tools", ""),
    ("both called", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("answered", "llm", "in_progress/ending", f"{MESSAGE} message.completed run.step.completed"),
    ("answered", "writing", "in_progress/ending", "message.completed run.step.completed"),
    ("answered", "calling, told", "in_progress/ending", "run.step.completed"),
    ("answered", "stopping", "cancelling/ending", ""),
    ("answered", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("answered", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("cut short", "llm", "in_progress/ending", f"{MESSAGE} message.incomplete run.step.completed"),
    ("cut short", "writing", "in_progress/ending", "message.incomplete run.step.completed"),
    ("cut short", "calling, told", "in_progress/ending", "run.step.completed"),
    ("cut short", "stopping", "cancelling/ending", ""),
    ("cut short", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("cut short", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("out of budget", "llm", "in_progress/ending", ""),
    ("out of budget", "writing", "in_progress/ending", "message.incomplete run.step.completed"),
    ("out of budget", "calling, told", "in_progress/ending", "run.step.completed"),
    ("out of budget", "stopping", "cancelling/ending", ""),
    ("out of budget", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("out of budget", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("failed", "llm", "in_progress/ending", ""),
    ("failed", "writing", "in_progress/ending", "run.step.failed message.incomplete"),
    ("failed", "calling, told", "in_progress/ending", "run.step.failed"),
    ("failed", "stopping", "cancelling/ending", ""),
    ("failed", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("failed", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("stopped", "stopping", "cancelling/ending", ""),
    ("stopped", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("stopped", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("tool answered", "tools", "in_progress/tools", ""),
    ("tool answered", "last tool", "in_progress/runnable", "run.step.completed"),
    ("tool answered", "mixed", "requires_action/user", "run.requires_action"),
    ("outputs submitted", "user", "queued/runnable", "run.step.completed run.queued"),
    ("rung", "tools, last tool, mixed", "in_progress/tools", ""),
    ("cancel requested", "queued, answered tool, answered user", "cancelling/ending", "run.cancelling"),
    ("cancel requested", "llm, writing, calling, told", "cancelling/llm", "run.cancelling"),
    (
        "cancel requested",
        "tools, last tool, mixed, user",
        "cancelling/ending",
        "run.cancelling run.step.cancelled",
    ),
    ("expired", "queued, answered user", "queued/ending", ""),
    ("expired", "llm, answered tool", "in_progress/ending", ""),
    ("expired", "writing", "in_progress/ending", "run.step.expired message.incomplete"),
    ("expired", "calling, told, tools, last tool, mixed", "in_progress/ending", "run.step.expired"),
    ("expired", "user", "requires_action/ending", "run.step.expired"),
    ("expired", "stopping, left", "cancelling/ending", ""),
    ("expired", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("expired", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("given up", "queued, answered user", "queued/ending", ""),
    ("given up", "llm, answered tool", "in_progress/ending", ""),
    ("given up", "writing", "in_progress/ending", "run.step.failed message.incomplete"),
    ("given up", "calling, told, tools, last tool, mixed", "in_progress/ending", "run.step.failed"),
    ("given up", "stopping, left", "cancelling/ending", ""),
    ("given up", "stopping writing", "cancelling/ending", "run.step.cancelled message.incomplete"),
    ("given up", "stopping calling", "cancelling/ending", "run.step.cancelled"),
    ("settled", "ending", "completed/done", "run.completed"),
    ("settled", "ending cancelled", "cancelled/done", "run.cancelled"),
]
EXPECTED = {
    (fact, situation): (state, events)
    for fact, situations, state, events in TABLE
    for situation in situations.split(", ")
}
EVERY_PAIR = [(fact, situation) for fact in FACTS for situation in SITUATIONS]
OWNERS_FACTS = [name for name, fact in FACTS.items() if hasattr(fact, "epoch")]


def test_the_table_names_known_facts_and_situations_and_every_kind_of_fact_is_tried() -> None:
    assert EXPECTED.keys() <= set(EVERY_PAIR)
    assert len(EXPECTED) == sum(len(situations.split(", ")) for _, situations, _, _ in TABLE)
    assert {type(fact) for fact in FACTS.values()} == set(RULES) == set(get_args(f.Fact))


@pytest.mark.parametrize(("fact", "situation"), EVERY_PAIR)
def test_a_fact_does_what_the_table_says_and_else_nothing(fact: str, situation: str) -> None:
    before = SITUATIONS[situation]
    changed = advance(before, of_epoch(FACTS[fact], before.epoch))
    if (fact, situation) not in EXPECTED:
        assert changed is before
        return
    state, events = EXPECTED[fact, situation]
    new = changed.events[len(before.events) :]
    assert f"{changed.status}/{changed.phase}" == state
    assert " ".join(event.type.removeprefix("thread.") for event in new) == events


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("fact", OWNERS_FACTS)
def test_a_fact_of_a_former_owner_does_nothing(fact: str, situation: str) -> None:
    run = SITUATIONS[situation]
    assert advance(run, of_epoch(FACTS[fact], run.epoch - 1)) is run


# May be said again, and do something again: they name no moment of the run.
REPEATABLE = {"restarted", "rung"}


@pytest.mark.parametrize(("fact", "situation"), [pair for pair in EXPECTED if pair[0] not in REPEATABLE])
def test_the_same_fact_again_does_nothing(fact: str, situation: str) -> None:
    run = SITUATIONS[situation]
    said = of_epoch(FACTS[fact], run.epoch)
    once = advance(run, said)
    assert advance(once, said) is once


def test_a_new_run_is_created_and_queued() -> None:
    run = created(new_run(), NOW)
    assert [(event.seq, event.type) for event in run.events] == [
        (1, "thread.run.created"),
        (2, "thread.run.queued"),
    ]
    assert (run.status, run.phase, run.epoch, run.turn) == ("queued", "runnable", 0, 0)
