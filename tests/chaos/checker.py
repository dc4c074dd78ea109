"""Holds a history to the 27 invariants. A pure function: ``check(history)``.

What an invariant says is the docstring of its function; the functions are in the ``about_*`` modules.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.chaos import about_clients, about_kafka, about_leftovers, about_runs, about_tools
from tests.chaos.history import History

# Yields a sentence, and the run that it is about ("" for none)
Invariant: TypeAlias = Callable[[History], Iterator[tuple[str, str]]]

INVARIANTS: dict[int, Invariant] = {
    1: about_clients.what_was_acknowledged_can_be_read,
    2: about_runs.each_run_ends_in_time,
    3: about_runs.statuses_follow_the_table,
    4: about_runs.one_active_run_in_a_thread,
    5: about_runs.a_completed_run_has_its_messages,
    6: about_runs.messages_are_visible_before_the_end,
    7: about_runs.interrupted_steps_leave_no_completed_message,
    8: about_runs.events_are_gapless,
    9: about_kafka.the_feed_has_every_event_in_order,
    10: about_kafka.the_feed_has_no_other_event,
    11: about_runs.one_end_and_it_is_the_last_event,
    12: about_tools.each_call_has_one_output,
    13: about_tools.each_call_took_effect_once,
    14: about_tools.only_what_was_asked_is_answered,
    15: about_runs.epochs_never_fall,
    16: about_tools.a_fenced_owners_reply_does_not_count,
    17: about_runs.cancelling_ends_soon_and_never_well,
    18: about_clients.messages_are_stored_once_in_order,
    19: about_clients.the_model_read_the_threads_messages,
    20: about_clients.streams_are_whole,
    21: about_runs.usage_is_the_sum_of_the_steps,
    22: about_leftovers.the_dead_hold_nothing,
    23: about_clients.projects_are_closed,
    24: about_kafka.only_the_unreadable_is_set_aside,
    25: about_leftovers.nothing_is_left_behind,
    26: about_leftovers.all_is_quiet,
    27: about_clients.the_deleted_stays_deleted,
}


@dataclass(frozen=True)
class Violation:
    invariant: int
    text: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}" + (f" [{self.run_id}]" if self.run_id else "")


def check(history: History) -> list[Violation]:
    return [
        Violation(number, text, run_id)
        for number, holds in INVARIANTS.items()
        for text, run_id in holds(history)
    ]


def hold(history: History) -> None:
    """
    Raises:
        AssertionError: an invariant was broken; tells the seed, and the history of the runs concerned.
    """
    broken = check(history)
    if not broken:
        return
    concerned = list(dict.fromkeys(each.run_id for each in broken if each.run_id))[:5]
    violations = [*map(str, broken[:40])]
    lines = [f"seed {history.seed}: {len(broken)} violations", *violations]
    for run_id in concerned:
        lines += [f"--- {run_id}", *history.about(run_id)]
    lines += ["--- violations", *violations]  # again: of a long log often only the end is kept
    raise AssertionError("\n".join(lines))
