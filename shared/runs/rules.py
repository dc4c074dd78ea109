"""The rules of a run: which status may follow which, and what then becomes true.

Every change of a run in the whole system is one call of :func:`advance`, saved by
``RunStore.change``. A fact that no longer applies returns the *same* run: Kafka delivers
at least once, owners lose their lease, clients cancel what just ended. That is normal.
"""

import math
from collections.abc import Callable
from typing import Any

from shared.runs import facts as f
from shared.runs.changes import (
    change_step,
    close_message,
    close_step,
    decide,
    emit_run,
    open_step,
    supersede_turn,
)
from shared.runs.model import LastError, Outcome, Run, Status, Usage

MAX_TAKE_OVERS = 5
START_GRACE_S = 1.0  # a sweeper leaves a runnable run to its command for this long
CANCEL_S = 10.0  # an owner that has not let go by then is fenced
ANNOUNCE_S = 3.0  # whoever changes a run announces it at once; a sweeper does what was left
RING_FIRST_S = 5.0
RING_MOST_S = 60.0
MAX_RINGS = 7  # in 315 s since the last answer: then the calls that are open are given up
MAX_RINGS_S = 315.0  # a call that may run longer is waited for longer
SORRY = "Sorry, something went wrong."
UNANSWERED = "The tool did not answer in time. It may have done its work, or some of it, or nothing."


def created(run: Run, now: float) -> Run:
    """Return the new ``run`` with its first events."""
    run = run.evolve(wake_at=now + START_GRACE_S)
    return emit_run(emit_run(run, "created", now), "queued", now)


def advance(run: Run, fact: f.Fact) -> Run:
    """Return the run after ``fact``; the same object if the fact does not apply (any more)."""
    if run.ended or getattr(fact, "epoch", run.epoch) != run.epoch:
        return run
    return RULES[type(fact)](run, fact)


def answers_by(run: Run) -> float:
    """Until when the open tool calls are waited for (Unix seconds), unless one of them is answered."""
    pauses = sum(_ring_pause_s(ring) for ring in range(run.rings + 1, most_rings(run) + 1))
    return min(run.wake_at + pauses, float(run.expires_at))


def most_rings(run: Run) -> int:
    """How often the requests of open tool calls are repeated, at most."""
    return MAX_RINGS + run.more_rings


def _more_rings(call_s: float) -> int:
    """So many that a call may begin up to ``RING_MOST_S`` late, and run for ``call_s``."""
    return max(0, math.ceil((call_s + RING_MOST_S - MAX_RINGS_S) / RING_MOST_S))


def _ring_pause_s(ring: int) -> float:
    return min(RING_FIRST_S * 2.0**ring, RING_MOST_S)


def _claimed(run: Run, fact: f.Claimed) -> Run:
    lapsed = fact.now >= run.wake_at
    if run.phase not in ("runnable", "llm") or (run.phase == "llm" and not lapsed):
        return run
    taken_over = run.phase == "llm"
    run = run.evolve(epoch=run.epoch + 1, attempt=run.attempt + taken_over)
    if run.status == "cancelling":
        return decide(run, Outcome(status="cancelled"), fact.now)
    if taken_over:
        run = supersede_turn(run, fact.now)
    if run.attempt > MAX_TAKE_OVERS:
        return decide(run, _sorry(), fact.now)
    turns = sum(step.type == "tool_calls" and step.status == "completed" for step in run.steps)
    run = run.evolve(phase="llm", owner=fact.owner, wake_at=fact.now + fact.lease_s, turn=turns + 1)
    run = run.evolve(rings=0, more_rings=_more_rings(fact.call_s))
    if run.status == "in_progress":
        return run
    return emit_run(run.evolve(status="in_progress", started_at=int(fact.now)), "in_progress", fact.now)


def _released(run: Run, fact: f.Released) -> Run:
    if run.phase != "llm":
        return run
    run = supersede_turn(run, fact.now)
    return run.evolve(phase="runnable", owner=None, wake_at=fact.now)


def _restarted(run: Run, fact: f.Restarted) -> Run:
    return supersede_turn(run, fact.now) if run.phase == "llm" else run


def _message_started(run: Run, fact: f.MessageStarted) -> Run:
    if run.phase != "llm" or run.step or run.status == "cancelling":
        return run
    return open_step(run, "message_creation", fact.now)


def _calls_started(run: Run, fact: f.CallsStarted) -> Run:
    if run.phase != "llm" or run.status == "cancelling" or (run.step and run.step.type == "tool_calls"):
        return run
    if run.step:  # this turn's tokens are all counted with its calls
        run = close_message(run, fact.content, None, fact.now, Usage())
    return open_step(run, "tool_calls", fact.now)


def _calls_made(run: Run, fact: f.CallsMade) -> Run:
    if run.phase != "llm" or not run.step or run.step.type != "tool_calls":
        return run
    run = change_step(run, calls=fact.calls, usage=fact.usage)
    if run.status == "cancelling":
        return decide(run, Outcome(status="cancelled"), fact.now)
    return _await_calls(run.evolve(owner=None, rings=0), fact.now)


def _answered(run: Run, fact: f.Answered) -> Run:
    if run.phase != "llm":
        return run
    if run.status == "cancelling":
        return decide(run, Outcome(status="cancelled"), fact.now, fact.content, fact.usage)
    if fact.content and not run.step:
        run = open_step(run, "message_creation", fact.now)
    status = "incomplete" if fact.incomplete_reason else "completed"
    outcome = Outcome.model_validate({"status": status, "incomplete_reason": fact.incomplete_reason})
    return decide(run, outcome, fact.now, fact.content, fact.usage)


def _failed(run: Run, fact: f.Failed) -> Run:
    if run.phase != "llm":
        return run
    if run.status == "cancelling":
        return decide(run, Outcome(status="cancelled"), fact.now, fact.content, fact.usage)
    error = LastError(code=fact.code, message=fact.message)
    return decide(run, Outcome(status="failed", last_error=error), fact.now, fact.content, fact.usage)


def _stopped(run: Run, fact: f.Stopped) -> Run:
    if run.phase != "llm" or run.status != "cancelling":
        return run
    return decide(run, Outcome(status="cancelled"), fact.now, fact.content, fact.usage)


def _tool_answered(run: Run, fact: f.ToolAnswered) -> Run:
    hosted = {call.id for call in run.awaited if call.type != "function"}
    if run.phase != "tools" or fact.call_id not in hosted:
        return run
    assert run.step is not None, "an awaited call has a step"
    answer = {"output": fact.output, "outputs": fact.outputs, "files": fact.files, "results": fact.results}
    calls = tuple(call.evolve(**answer) if call.id == fact.call_id else call for call in run.step.calls)
    return _await_calls(change_step(run, calls=calls).evolve(rings=0), fact.now)


def _outputs_submitted(run: Run, fact: f.OutputsSubmitted) -> Run:
    if run.phase != "user" or {call.id for call in run.awaited} != set(fact.outputs):
        return run
    assert run.step is not None, "an awaited call has a step"
    calls = tuple(call.evolve(output=fact.outputs.get(call.id, call.output)) for call in run.step.calls)
    run = close_step(change_step(run, calls=calls), "completed", fact.now)
    run = run.evolve(status="queued", phase="runnable", wake_at=fact.now + START_GRACE_S)
    return emit_run(run, "queued", fact.now)


def _rung(run: Run, fact: f.Rung) -> Run:
    if run.phase != "tools":
        return run
    if run.rings >= most_rings(run):
        return _unanswered(run, fact.now)
    wait_s = _ring_pause_s(run.rings + 1)
    return run.evolve(rings=run.rings + 1, wake_at=min(fact.now + wait_s, run.expires_at))


def _unanswered(run: Run, now: float) -> Run:
    """Tell the model that its calls were lost; it may make them again."""
    assert run.step is not None, "an awaited call has a step"
    open_calls = {call.id for call in run.awaited if call.type != "function"}
    calls = tuple(
        call.evolve(output=UNANSWERED) if call.id in open_calls else call for call in run.step.calls
    )
    return _await_calls(change_step(run, calls=calls), now)


def _cancel_requested(run: Run, fact: f.CancelRequested) -> Run:
    if run.status == "cancelling" or run.phase == "ending":
        return run
    run = emit_run(run.evolve(status="cancelling"), "cancelling", fact.now)
    if run.phase == "llm":  # its owner lets go of the model first; its lease is not renewed any more
        return run.evolve(wake_at=fact.now + CANCEL_S)
    return decide(run, Outcome(status="cancelled"), fact.now)


def _expired(run: Run, fact: f.Expired) -> Run:
    if run.phase == "ending" or fact.now < run.expires_at:
        return run
    status = "cancelled" if run.status == "cancelling" else "expired"
    outcome = Outcome.model_validate({"status": status})
    return decide(run.evolve(epoch=run.epoch + 1), outcome, fact.now, fact.content, fact.usage)


def _given_up(run: Run, fact: f.GivenUp) -> Run:
    if run.phase in ("user", "ending"):  # a run that waits for its client harms nobody, and expires
        return run
    outcome = Outcome(status="cancelled") if run.status == "cancelling" else _sorry()
    return decide(run.evolve(epoch=run.epoch + 1), outcome, fact.now)


def _settled(run: Run, fact: f.Settled) -> Run:
    if run.phase != "ending" or run.outcome is None:
        return run
    status: Status = run.outcome.status
    usage = run.used if any(step.usage for step in run.steps) else None
    done = {"phase": "done", "owner": None, "ended_at": int(fact.now), "wake_at": fact.now + ANNOUNCE_S}
    run = run.evolve(status=status, usage=usage, **done)
    return emit_run(run, status, fact.now)


RULES: dict[type[f.Fact], Callable[[Run, Any], Run]] = {
    f.Claimed: _claimed,
    f.Released: _released,
    f.Restarted: _restarted,
    f.MessageStarted: _message_started,
    f.CallsStarted: _calls_started,
    f.CallsMade: _calls_made,
    f.Answered: _answered,
    f.Failed: _failed,
    f.Stopped: _stopped,
    f.ToolAnswered: _tool_answered,
    f.OutputsSubmitted: _outputs_submitted,
    f.Rung: _rung,
    f.CancelRequested: _cancel_requested,
    f.Expired: _expired,
    f.GivenUp: _given_up,
    f.Settled: _settled,
}


def _await_calls(run: Run, now: float) -> Run:
    """Go where the step's calls lead: to the tools, to the client, or to the next model turn."""
    if any(call.type != "function" for call in run.awaited):
        wake_at = now + RING_FIRST_S if run.phase == "llm" else run.wake_at
        return run.evolve(phase="tools", wake_at=wake_at)
    if run.awaited:
        run = run.evolve(status="requires_action", phase="user", wake_at=now + ANNOUNCE_S)
        return emit_run(run, "requires_action", now)
    run = close_step(run, "completed", now)
    return run.evolve(phase="runnable", wake_at=now + START_GRACE_S)


def _sorry() -> Outcome:
    return Outcome(status="failed", last_error=LastError(code="server_error", message=SORRY))
