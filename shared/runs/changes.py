"""The changes that the rules are made of: steps opened and closed, events appended, an end decided."""

from collections.abc import Sequence

from shared.ids import derived_id
from shared.runs.model import Event, Json, LastError, Outcome, Run, Step, Usage

SETTLE_GRACE_S = 2.0
LOST = "The attempt was lost; a later step repeats it."
MESSAGE_REASONS = {"cancelled": "run_cancelled", "failed": "run_failed", "expired": "run_expired"}


def decide(
    run: Run, outcome: Outcome, now: float, content: Sequence[Json] = (), usage: Usage | None = None
) -> Run:
    """Fix how the run ends and close what is open. Visible only once it is settled."""
    if run.step and run.step.type == "message_creation":
        reason = MESSAGE_REASONS.get(outcome.status) or _message_reason(outcome.incomplete_reason)
        run = close_message(run, content, reason, now, usage, outcome)
    elif run.step:
        run = change_step(run, last_error=outcome.last_error, usage=run.step.usage or usage)
        run = close_step(run, outcome.status if outcome.status in MESSAGE_REASONS else "completed", now)
    return run.evolve(phase="ending", outcome=outcome, owner=None, wake_at=now + SETTLE_GRACE_S)


def _message_reason(incomplete_reason: str | None) -> str | None:
    """A message says ``max_tokens`` where its run names the very budget."""
    return "content_filter" if incomplete_reason == "content_filter" else incomplete_reason and "max_tokens"


def open_step(run: Run, kind: str, now: float) -> Run:
    n = len(run.steps) + 1
    step = Step.model_validate(
        {
            "id": derived_id("step", run.id, n),
            "turn": run.turn,
            "type": kind,
            "created_at": int(now),
            "message_id": derived_id("msg", run.id, n) if kind == "message_creation" else None,
        }
    )
    run = run.evolve(steps=(*run.steps, step))
    types = ["thread.run.step.created", "thread.run.step.in_progress"]
    if kind == "message_creation":
        types += ["thread.message.created", "thread.message.in_progress"]
    return _emit(run, types, now, step.id)


def close_message(
    run: Run,
    content: Sequence[Json],
    reason: str | None,
    now: float,
    usage: Usage | None,
    outcome: Outcome | None = None,
) -> Run:
    assert run.step is not None, "only an open step is closed"
    error = outcome.last_error if outcome else None
    run = change_step(
        run, content=tuple(content), incomplete_reason=reason, usage=usage or Usage(), last_error=error
    )
    assert run.step is not None
    step_id = run.step.id
    message = "thread.message.incomplete" if reason else "thread.message.completed"
    status = outcome.status if outcome and outcome.status in MESSAGE_REASONS else "completed"
    if status == "completed":
        return close_step(_emit(run, [message], now, step_id), status, now)
    return _emit(close_step(run, status, now), [message], now, step_id)


def close_step(run: Run, status: str, now: float) -> Run:
    assert run.step is not None, "only an open step is closed"
    step_id = run.step.id
    run = change_step(run, status=status, ended_at=int(now))
    return _emit(run, [f"thread.run.step.{status}"], now, step_id)


def change_step(run: Run, **changes: object) -> Run:
    return run.evolve(steps=(*run.steps[:-1], run.steps[-1].evolve(**changes)))


def supersede_turn(run: Run, now: float) -> Run:
    """Withdraw what a lost attempt wrote of the turn in progress: a turn counts whole or not at all."""
    for index, step in enumerate(run.steps):
        if step.turn == run.turn and not step.superseded:
            run = _supersede(run, index, now)
    return run


def _supersede(run: Run, index: int, now: float) -> Run:
    step = run.steps[index]
    if not step.open:  # its text was complete, and seen: say that it is gone
        types, after = ["thread.message.deleted"], step.evolve(superseded=True)
    else:
        types = ["thread.run.step.failed"] + ["thread.message.incomplete"] * bool(step.message_id)
        after = step.evolve(
            superseded=True,
            status="failed",
            ended_at=int(now),
            last_error=LastError(code="server_error", message=LOST),
            incomplete_reason="run_failed" if step.message_id else None,
        )
    run = run.evolve(steps=(*run.steps[:index], after, *run.steps[index + 1 :]))
    return _emit(run, types, now, step.id)


def emit_run(run: Run, name: str, now: float) -> Run:
    kept = {
        "status": run.status,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "usage": run.usage.model_dump() if run.usage else None,
    }
    data = {key: value for key, value in kept.items() if value is not None}
    event = Event(seq=len(run.events) + 1, type=f"thread.run.{name}", at=now, data=data)
    return run.evolve(events=(*run.events, event))


def _emit(run: Run, types: Sequence[str], now: float, step_id: str) -> Run:
    first = len(run.events) + 1
    new = tuple(Event(seq=first + i, type=t, at=now, step_id=step_id) for i, t in enumerate(types))
    return run.evolve(events=(*run.events, *new))
