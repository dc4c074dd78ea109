"""Why a run is where it is, in plain words, from its document alone."""

from datetime import UTC, datetime

from shared.runs.model import Json, Run
from shared.runs.rules import MAX_TAKE_OVERS, most_rings
from shared.topics import RUN_COMMANDS, TOOL_REQUESTS_CODE, TOOL_REQUESTS_RETRIEVAL, Topic

REQUESTS = {"code_interpreter": TOOL_REQUESTS_CODE, "file_search": TOOL_REQUESTS_RETRIEVAL}
SWEEP = "a sweeper looks at the run"


def diagnosis(run: Run, now: float) -> Json:
    """``lag`` is left to whoever can ask the broker; times are Unix seconds."""
    words, then, at = _words(run, now)
    error = run.outcome and run.outcome.last_error
    return {
        "object": "thread.run.diagnosis",
        "run_id": run.id,
        "thread_id": run.thread_id,
        "status": run.status,
        "phase": run.phase,
        "summary": words,
        "since": since(run),
        "owner": {"name": run.owner, "lease_until": run.wake_at, "lapsed": run.wake_at <= now}
        if run.owner
        else None,
        "epoch": run.epoch,
        "take_overs": run.attempt,
        "most_take_overs": MAX_TAKE_OVERS,
        "model_turn": run.turn,
        "calls_awaited": [_call(run, call.id) for call in run.awaited],
        "lag": None,
        "last_error": error.model_dump() if error else None,
        "lost_attempts": _lost(run),
        "created_at": run.created_at,
        "expires_at": None if run.ended else run.expires_at,
        "ended_at": run.ended_at,
        "events": len(run.events),
        "events_published": run.published.n,
        "next": None if run.ended else {"at": at, "what": then},
    }


def since(run: Run) -> float:
    """When the last thing happened to the run."""
    return run.events[-1].at if run.events else float(run.created_at)


def topic_awaited(run: Run) -> Topic | None:
    """The topic on which the record lies that the run waits for; None if it waits for none."""
    if run.phase == "runnable":
        return RUN_COMMANDS
    if run.phase == "tools":
        kinds = [call.type for call in run.awaited if call.type in REQUESTS]
        return REQUESTS[kinds[0]] if kinds else None
    return None


def _words(run: Run, now: float) -> tuple[str, str, float]:
    """What the run waits for; what happens if that does not come, and when."""
    expiry = float(run.expires_at)
    if run.ended:
        return f"The run ended as {run.status}.{_why(run)}", "", 0.0
    if run.phase == "ending" and run.outcome:
        words = f"It is decided that the run ends as {run.outcome.status}; its messages are being written."
        return words + _why(run), f"{SWEEP} and ends it", run.wake_at
    if run.phase == "user":
        names = ", ".join(call.name for call in run.awaited)
        return f"The run waits for its client to submit outputs of {names}.", "the run expires", expiry
    if run.phase == "tools":
        return _of_tools(run, now)
    if run.phase == "llm":
        return _of_model(run, now)
    words = "The run waits for an orchestrator to take it" + (
        ": all that look are at capacity, or none is there." if now > run.wake_at + 5 else "."
    )
    return words, f"{SWEEP}, unless its command comes first", min(run.wake_at, expiry)


def _of_tools(run: Run, now: float) -> tuple[str, str, float]:
    calls = [call for call in run.awaited if call.type != "function"]
    names = " and ".join(f"{call.name} ({call.id})" for call in calls)
    waited = f"for {now - since(run):.0f} s" if run.events else ""
    asked = "Its request was sent once" if not run.rings else f"The request was repeated {_times(run.rings)}"
    then = "the request is sent again"
    if run.rings >= most_rings(run):
        then = "the model is told that the tool did not answer, and goes on"
    return f"The run waits {waited} for {names}. {asked}.", then, run.wake_at


def _of_model(run: Run, now: float) -> tuple[str, str, float]:
    if run.status == "cancelling":
        words = f"A client wants the run cancelled; {run.owner} is to let go of the model."
        return words, f"{SWEEP} and ends it without its owner", run.wake_at
    if run.wake_at <= now:
        words = (
            f"{run.owner} had the run and has been silent: its lease lapsed {now - run.wake_at:.0f} s ago."
        )
        return words, "another orchestrator takes the run over", run.wake_at
    doing = "the model writes" if run.step else "the model is asked and has not answered yet"
    words = f"{run.owner} works on model turn {run.turn}: {doing}."
    if run.attempt:
        words += f" The run was taken over {_times(run.attempt)} before."
    return words, "the owner renews its lease, or loses the run", run.wake_at


def _call(run: Run, call_id: str) -> Json:
    assert run.step is not None, "an awaited call has a step"
    call = next(call for call in run.step.calls if call.id == call_id)
    hosted = call.type != "function"
    return {
        "id": call.id,
        "type": call.type,
        "name": call.name,
        "since": since(run),
        "repeated": run.rings if hosted else None,
        "repeated_again_at": run.wake_at if hosted and run.phase == "tools" else None,
    }


def _lost(run: Run) -> list[Json]:
    """What earlier attempts left: the steps that were withdrawn."""
    return [
        {
            "step_id": step.id,
            "at": step.ended_at,
            "error": step.last_error.message if step.last_error else None,
        }
        for step in run.steps
        if step.superseded
    ]


def _why(run: Run) -> str:
    if run.outcome and run.outcome.last_error:
        return f" {run.outcome.last_error.code}: {run.outcome.last_error.message}"
    return (
        f" It used up {run.outcome.incomplete_reason}."
        if run.outcome and run.outcome.incomplete_reason
        else ""
    )


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def lines(found: Json, now: float) -> list[str]:
    """The diagnosis for people to read."""
    owner, lag, then = found["owner"], found["lag"], found["next"]
    shown = [
        f"{found['run_id']}: {found['status']} (phase {found['phase']}), thread {found['thread_id']}",
        found["summary"],
        f"since     {_at(found['since'], now)}",
    ]
    if owner:
        state = "lapsed" if owner["lapsed"] else "held"
        shown.append(f"owner     {owner['name']}, lease {state} until {_at(owner['lease_until'], now)}")
    shown.append(
        f"attempts  {found['take_overs']} of {found['most_take_overs']} take-overs, epoch {found['epoch']}"
    )
    for call in found["calls_awaited"]:
        repeated = "" if call["repeated"] is None else f", request repeated {call['repeated']} times"
        shown.append(f"awaits    {call['name']} {call['id']} since {_at(call['since'], now)}{repeated}")
    if lag:
        shown.append(f"lag       {lag['records']} records not done on {lag['topic']}, all partitions")
    if found["last_error"]:
        shown.append(f"error     {found['last_error']['code']}: {found['last_error']['message']}")
    shown += [f"lost      {each['step_id']}: {each['error']}" for each in found["lost_attempts"]]
    if found["expires_at"]:
        shown.append(f"expires   {_at(found['expires_at'], now)}")
    if then:
        shown.append(f"next      {_at(then['at'], now)}: {then['what']}")
    shown.append(f"events    {found['events']}, of which {found['events_published']} were published")
    return shown


def _at(at: float, now: float) -> str:
    away = f"in {at - now:.0f} s" if at > now else f"{now - at:.0f} s ago"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC ({away})"
