"""The state machine of a run, explored: what holds in every state that can be reached."""

from collections import Counter
from typing import get_args

import pytest

from shared.runs.model import EndStatus, Run
from shared.runs.rules import advance
from tests.unit.run_samples import FACTS, QUEUED, of_epoch
from tests.unit.run_space import Change, changes, states

END = set(get_args(EndStatus))
MAY_FOLLOW = {
    "queued": {"in_progress", "cancelling", "failed", "expired"},
    "in_progress": {"requires_action", "cancelling", "completed", "incomplete", "failed", "expired"},
    "requires_action": {"queued", "cancelling", "expired"},
    "cancelling": {"cancelled"},
}
PHASES = {
    "queued": {"runnable", "ending"},
    "in_progress": {"runnable", "llm", "tools", "ending"},
    "requires_action": {"user", "ending"},
    "cancelling": {"runnable", "llm", "ending"},
} | {end: {"done"} for end in END}
STEP_OPENS = ["thread.run.step.created", "thread.run.step.in_progress"]
MESSAGE_OPENS = ["thread.message.created", "thread.message.in_progress"]
STEP_CLOSES = {f"thread.run.step.{status}" for status in ("completed", "cancelled", "failed", "expired")}
MESSAGE_CLOSES = {"thread.message.completed", "thread.message.incomplete"}
WITHDRAWN = "thread.message.deleted"


def ended_runs() -> list[Run]:
    return [run for run in states() if run.ended]


def test_the_statuses_follow_one_another_as_the_table_says() -> None:
    found: dict[str, set[str]] = {}
    for change in changes():
        if change.before.status != change.after.status:
            found.setdefault(change.before.status, set()).add(change.after.status)
    assert found == MAY_FOLLOW


def test_each_status_has_its_phases() -> None:
    found: dict[str, set[str]] = {}
    for run in states():
        found.setdefault(run.status, set()).add(run.phase)
    assert found == PHASES


def test_every_state_can_still_end() -> None:
    """From each state there is a way to the end: no fact leads into a corner."""
    for run in list(states())[::5]:
        expired = advance(run, FACTS["expired"])
        assert advance(expired, FACTS["settled"]).ended


def test_an_end_is_frozen() -> None:
    for run in ended_runs()[::7]:
        for fact in FACTS.values():
            assert advance(run, of_epoch(fact, run.epoch)) is run


def test_a_run_holds_its_thread_until_it_has_ended() -> None:
    for run in states():
        assert run.ended == (run.status in END) == (run.ended_at is not None)


def test_a_decided_end_stands() -> None:
    for change in changes():
        if change.before.phase == "ending":
            assert change.before.outcome is not None
            assert change.after.outcome == change.before.outcome
            assert change.after.status == change.before.outcome.status


def test_cancelling_never_completes() -> None:
    for run in ended_runs():
        if "thread.run.cancelling" in types(run):
            assert run.status == "cancelled"


def test_the_events_are_numbered_without_a_gap_and_only_grow() -> None:
    for change in changes():
        assert change.after.events[: len(change.before.events)] == change.before.events
        new = [event.seq for event in change.after.events[len(change.before.events) :]]
        assert new == list(range(len(change.before.events) + 1, len(change.after.events) + 1))


def test_each_change_of_the_status_is_told_and_nothing_else_is() -> None:
    for change in changes():
        told = [type_ for type_ in new_types(change) if is_of_run(type_)]
        changed = change.before.status != change.after.status
        assert told == ([f"thread.run.{change.after.status}"] if changed else [])


def test_one_terminal_event_ends_each_run_and_is_its_last() -> None:
    terminal = {f"thread.run.{status}" for status in END}
    for run in states():
        places = [place for place, type_ in enumerate(types(run)) if type_ in terminal]
        assert places == ([len(run.events) - 1] if run.ended else [])


def test_the_epoch_never_falls_and_rises_only_for_an_owner_and_for_who_ends_the_run_over_it() -> None:
    for change in changes():
        raises = type(change.fact).__name__ in ("Claimed", "Expired", "GivenUp")
        assert change.after.epoch == change.before.epoch + raises


def test_a_run_has_an_owner_exactly_while_a_model_is_asked() -> None:
    for run in states():
        assert (run.owner is not None) == (run.phase == "llm")


def test_only_the_last_step_is_open_and_none_once_the_end_is_decided() -> None:
    for run in states():
        assert all(not step.open for step in run.steps[:-1])
        if run.phase in ("ending", "done", "runnable"):
            assert run.step is None
        if run.phase in ("tools", "user"):
            assert run.awaited


def test_the_steps_of_a_run_have_ids_of_their_own() -> None:
    for run in ended_runs():
        ids = [step.id for step in run.steps] + [step.message_id for step in run.steps if step.message_id]
        assert len(set(ids)) == len(ids)


def test_a_superseded_step_leaves_no_message_and_no_output() -> None:
    for run in states():
        for step in run.steps:
            if step.superseded:
                told = types_of_step(run, step.id)
                assert "thread.message.completed" not in told or told[-1] == WITHDRAWN
                assert not step.calls


def test_a_completed_run_answered_every_call() -> None:
    for run in ended_runs():
        if run.status == "completed":
            assert all(call.output is not None for step in run.steps for call in step.calls)


def test_steps_open_and_close_one_after_the_other() -> None:
    """Created once, closed once, superseded or not; a message's events lie within its step's."""
    for run in ended_runs():
        last_seq = 0
        for step in run.steps:
            events = [event for event in run.events if event.step_id == step.id]
            kinds = [event.type for event in events]
            if kinds[-1] == WITHDRAWN:  # told later, when the turn's other steps were written already
                assert step.superseded
                events, kinds = events[:-1], kinds[:-1]
            opens = STEP_OPENS + (MESSAGE_OPENS if step.message_id else [])
            assert kinds[: len(opens)] == opens
            closing = Counter(kinds[len(opens) :])
            assert sum(closing[kind] for kind in STEP_CLOSES) == 1
            assert sum(closing[kind] for kind in MESSAGE_CLOSES) == bool(step.message_id)
            assert len(kinds) == len(opens) + closing.total()
            assert events[0].seq > last_seq
            last_seq = events[-1].seq


def test_the_events_of_a_step_say_how_the_step_is() -> None:
    for run in states():
        for step in run.steps:
            last = [kind for kind in types_of_step(run, step.id) if kind.startswith("thread.run.step.")][-1]
            assert last == f"thread.run.step.{step.status}"


@pytest.mark.parametrize("status", sorted(END))
def test_every_end_is_reached(status: str) -> None:
    assert any(run.status == status for run in ended_runs())


def test_a_change_means_another_run_and_the_start_stays() -> None:
    for change in changes():
        assert change.after != change.before
        assert change.after.events[:2] == QUEUED.events


def types(run: Run) -> list[str]:
    return [event.type for event in run.events]


def types_of_step(run: Run, step_id: str) -> list[str]:
    return [event.type for event in run.events if event.step_id == step_id]


def new_types(change: Change) -> list[str]:
    return types(change.after)[len(change.before.events) :]


def is_of_run(type_: str) -> bool:
    return type_.startswith("thread.run.") and not type_.startswith("thread.run.step.")
