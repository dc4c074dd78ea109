"""What a client can do to a run: cancel it, or answer its function calls."""

from collections.abc import Mapping, Sequence

from shared import clock
from shared.errors import InvalidRequest
from shared.failpoints import failpoint
from shared.runs.facts import CancelRequested, OutputsSubmitted
from shared.runs.model import Run
from shared.runs.rules import advance
from shared.stores.runs import RunStore


async def cancel(runs: RunStore, run: Run) -> Run:
    """
    Raises:
        InvalidRequest: the run ended, or is about to.
    """
    now = clock.now()
    run, changed = await runs.change(run, lambda r: advance(r, CancelRequested(now)))
    failpoint("gateway.cancel_saved")
    if not changed:
        raise InvalidRequest(f"Cannot cancel run with status '{status_of(run)}'.")
    return run


def outputs_of(run: Run, given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the output for each call that ``run`` waits for.

    Raises:
        InvalidRequest: it waits for none, or for others.
    """
    if run.phase != "user":
        raise refuses_outputs(run)
    expected, got = [call.id for call in run.awaited], [call_id for call_id, _ in given]
    if sorted(expected) != sorted(got):
        raise InvalidRequest(f"Expected tool outputs for call_ids {expected}, got {got}")
    return dict(given)


def event_before(run: Run, given: Sequence[tuple[str, str]]) -> int | None:
    """Return the number of the last event before ``given`` was submitted; None if it was not."""
    for step in run.steps:
        outputs = {call.id: call.output for call in step.calls if call.type == "function"}
        if given and not step.open and all(outputs.get(call_id) == output for call_id, output in given):
            closed = [e.seq for e in run.events if e.step_id == step.id and e.type.endswith(".completed")]
            return closed[-1] - 1 if closed else None
    return None


async def submit(runs: RunStore, run: Run, outputs: Mapping[str, str]) -> Run:
    """Return the run with the outputs. ``queued`` is its last event then.

    Raises:
        InvalidRequest: somebody else was faster.
    """
    now = clock.now()
    fact = OutputsSubmitted(dict(outputs), now)
    run, changed = await runs.change(run, lambda r: advance(r, fact))
    failpoint("gateway.outputs_saved")
    if not changed:
        raise refuses_outputs(run)
    return run


def refuses_outputs(run: Run) -> InvalidRequest:
    return InvalidRequest(f'Runs in status "{status_of(run)}" do not accept tool outputs.')


def status_of(run: Run) -> str:
    """The status, or the one that is decided but not to be seen yet."""
    if run.phase == "ending" and run.outcome and run.status != "cancelling":
        return run.outcome.status
    return run.status
