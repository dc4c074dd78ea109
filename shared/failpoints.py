"""Named places where a process can be made to die, to stand still or to fail: for tests of what is left then.

``THREADMILL_FAILPOINT=orchestrator.claimed:3:kill,tool_code.call_kept:1:sleep``: when the first place is
reached for the third time, the process is gone as by ``kill -9``. Where nothing is armed, a
place costs one look at an empty dictionary.
"""

import logging
import os
import signal
import time
from typing import Literal, TypeAlias, get_args

log = logging.getLogger(__name__)

Place: TypeAlias = Literal[
    # gateway: requests and what they store
    "gateway.request_noted",  # it may be recognised if it comes again, and is not done yet
    "gateway.thread_messages_stored",  # the thread itself is not
    "gateway.thread_stored",
    "gateway.message_stored",
    "gateway.run_unsaved",  # its messages are stored, the run is not
    "gateway.run_saved",  # nobody was told
    "gateway.outputs_saved",
    "gateway.cancel_saved",
    "gateway.thread_gone",  # deleted; its run and its messages are not yet
    "gateway.answering",
    "gateway.answer_sent",
    # gateway: what it tells
    "gateway.control_sent",
    "gateway.run_announced",
    "gateway.command_sent",
    "gateway.message_announced",
    "gateway.messages_marked",
    "gateway.sweeping",
    # gateway: event streams
    "gateway.stream_begun",
    "gateway.stream_event",
    "gateway.stream_ending",  # all but ``done`` is sent
    "gateway.slot_leased",
    "gateway.slot_renewed",
    # orchestrator: records
    "orchestrator.command_taken",
    "orchestrator.result_taken",
    "orchestrator.result_saved",
    "orchestrator.batch_done",  # nothing of it is committed
    "orchestrator.claimed",
    "orchestrator.claim_announced",
    # orchestrator: a turn
    "orchestrator.turn_begun",
    "orchestrator.model_asked",
    "orchestrator.piece_taken",
    "orchestrator.turn_done",
    "orchestrator.asking_again",
    "orchestrator.fact_unsaved",
    "orchestrator.fact_saved",
    "orchestrator.fact_shown",  # its messages are written; the broker knows nothing
    "orchestrator.fact_announced",
    "orchestrator.stopped",  # the model is let go of, the cancelled run not ended
    "orchestrator.released",
    # orchestrator: what follows
    "orchestrator.request_unsent",
    "orchestrator.request_sent",
    "orchestrator.unsettled",
    "orchestrator.settled",
    "orchestrator.end_announced",
    "orchestrator.end_marked",
    # orchestrator: upkeep
    "orchestrator.sweeping",
    "orchestrator.found_due",
    "orchestrator.expired",
    "orchestrator.rung",  # noted that the tools are asked again; they are not
    "orchestrator.found_unannounced",
    "orchestrator.heartbeat_due",
    "orchestrator.heartbeat_done",
    "orchestrator.broker_seen",
    # tool_code
    "tool_code.request_taken",
    "tool_code.call_claimed",
    "tool_code.session_starting",
    "tool_code.session_started",  # the store does not know
    "tool_code.session_noted",
    "tool_code.files_brought",
    "tool_code.code_ran",
    "tool_code.call_counted",
    "tool_code.file_kept",
    "tool_code.result_unsaved",
    "tool_code.call_kept",  # in the ledger; nobody was told
    "tool_code.result_sent",
    "tool_code.call_released",
    "tool_code.heartbeat_done",
    # tool_retrieval
    "retrieval.command_taken",
    "retrieval.claimed",
    "retrieval.parsed",
    "retrieval.embedded",
    "retrieval.indexed",  # it is in the index, and not shown
    "retrieval.completed",  # what was before is not removed
    "retrieval.removed",  # from the index; its document does not say so
    "retrieval.store_dropped",
    "retrieval.search_claimed",
    "retrieval.results_kept",  # the ledger does not know
    "retrieval.result_sent",
    # the intake of every tool
    "intake.committing",
    "intake.committed",
    # whoever publishes
    "publisher.frame_sent",
    "publisher.record_sent",  # the broker may have it; it has not said so
    "publisher.delivered",
]
Action: TypeAlias = Literal["kill", "sleep", "error"]

PLACES: tuple[Place, ...] = get_args(Place)
ACTIONS: tuple[Action, ...] = get_args(Action)
DYING = "dying here"
SLEEP_S = 5.0  # the whole process: longer than a short lease

_armed: dict[str, dict[int, str]] = {}  # place -> at which time -> what
_reached: dict[str, int] = {}


class FailpointError(Exception):
    """The error that ``error`` raises: one that nothing expects."""


def failpoint(place: Place) -> None:
    """Do what was armed for ``place``."""
    if _armed and place in _armed:
        _act(place)


def arm(faults: str) -> None:
    """Replace what is armed by ``faults``, in the form of the environment variable; "" disarms.

    Raises:
        ValueError: it cannot be read, or names a place that is none.
    """
    armed = parse(faults)
    _armed.clear()
    _reached.clear()
    _armed.update(armed)


def parse(faults: str) -> dict[str, dict[int, str]]:
    """Raises ValueError."""
    armed: dict[str, dict[int, str]] = {}
    for fault in filter(None, faults.split(",")):
        place, _, rest = fault.partition(":")
        nth, _, action = rest.partition(":")
        if place not in PLACES or not nth.isdecimal() or int(nth) == 0 or action not in ACTIONS:
            raise ValueError(f"{fault!r} is not <place>:<nth>:kill|sleep|error with a known place")
        armed.setdefault(place, {})[int(nth)] = action
    return armed


def _act(place: str) -> None:
    _reached[place] = _reached.get(place, 0) + 1
    action = _armed[place].get(_reached[place])
    if action == "kill":
        log.critical(DYING, extra={"place": place})
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        log.warning("standing still", extra={"place": place})
        time.sleep(SLEEP_S)
    elif action == "error":
        raise FailpointError(place)
