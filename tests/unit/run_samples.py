"""Runs in every situation that the rules tell apart, and one fact of every kind that fits them."""

from dataclasses import replace
from typing import Any

from shared.runs import facts as f
from shared.runs.model import Json, Run, Settings, ToolCall, Usage
from shared.runs.rules import advance, created

NOW = 1000.0
EXPIRES_AT = 2000
LEASE_S = 15.0
TEXT: tuple[Json, ...] = ({"type": "text", "text": {"value": "Hi", "annotations": []}},)
USAGE = Usage(prompt_tokens=7, completion_tokens=3)

CODE = ToolCall(id="c1", type="code_interpreter", name="code_interpreter", input="1+1")
MORE_CODE = CODE.evolve(id="c2", input="2+2")
FUNCTION = ToolCall(id="f1", type="function", name="weather", input="{}")


def new_run(run_id: str = "run_1") -> Run:
    """Not stored yet, and without events."""
    return Run(
        id=run_id,
        project_id="p",
        thread_id="thread_1",
        assistant_id="asst_1",
        created_at=int(NOW),
        expires_at=EXPIRES_AT,
        settings=Settings(model="any"),
    )


def after(run: Run, *facts: f.Fact) -> Run:
    """Apply ``facts``, each of which must do something; those of an owner get the epoch of the day."""
    for fact in facts:
        changed = advance(run, of_epoch(fact, run.epoch))
        assert changed is not run, f"{fact} does nothing in {run.status}/{run.phase}"
        run = changed
    return run


def of_epoch(fact: f.Fact, epoch: int) -> f.Fact:
    changes: dict[str, Any] = {"epoch": epoch} if hasattr(fact, "epoch") else {}
    return replace(fact, **changes)


def calls_made(*calls: ToolCall) -> f.CallsMade:
    return f.CallsMade(0, NOW, calls, USAGE)


CLAIMED = f.Claimed("a", NOW, LEASE_S)
MESSAGE_STARTED = f.MessageStarted(0, NOW)
CALLS_STARTED = f.CallsStarted(0, NOW)
ANSWERED = f.Answered(0, NOW, TEXT, USAGE)
CANCELLED = f.CancelRequested(NOW)

QUEUED = created(new_run(), NOW)
LLM = after(QUEUED, CLAIMED)
WRITING = after(LLM, MESSAGE_STARTED)
CALLING = after(LLM, CALLS_STARTED)
TOLD = after(WRITING, replace(CALLS_STARTED, content=TEXT))  # text first, then calls
TOOLS = after(CALLING, calls_made(CODE, MORE_CODE))
LAST_TOOL = after(CALLING, calls_made(CODE))
MIXED = after(CALLING, calls_made(CODE, FUNCTION))
USER = after(CALLING, calls_made(FUNCTION))
ANSWERED_TOOL = after(LAST_TOOL, f.ToolAnswered("c1", "2", NOW))  # between two turns
ANSWERED_USER = after(USER, f.OutputsSubmitted({"f1": "rain"}, NOW))
STOPPING = after(LLM, CANCELLED)
STOPPING_WRITING = after(WRITING, CANCELLED)
STOPPING_CALLING = after(CALLING, CANCELLED)
LEFT = after(STOPPING, f.Released(0, NOW))  # cancelling, and nobody works on it
ENDING = after(WRITING, ANSWERED)
ENDING_CANCELLED = after(STOPPING, f.Stopped(0, NOW))
DONE = after(ENDING, f.Settled(NOW))

SITUATIONS: dict[str, Run] = {
    "queued": QUEUED,
    "llm": LLM,
    "writing": WRITING,
    "calling": CALLING,
    "told": TOLD,
    "tools": TOOLS,
    "last tool": LAST_TOOL,
    "mixed": MIXED,
    "user": USER,
    "answered tool": ANSWERED_TOOL,
    "answered user": ANSWERED_USER,
    "stopping": STOPPING,
    "stopping writing": STOPPING_WRITING,
    "stopping calling": STOPPING_CALLING,
    "left": LEFT,
    "ending": ENDING,
    "ending cancelled": ENDING_CANCELLED,
    "done": DONE,
}

FACTS: dict[str, f.Fact] = {
    "claimed": CLAIMED,
    "taken over": f.Claimed("b", NOW + LEASE_S, LEASE_S),
    "released": f.Released(0, NOW),
    "restarted": f.Restarted(0, NOW),
    "message started": MESSAGE_STARTED,
    "calls started": CALLS_STARTED,
    "code called": calls_made(CODE),
    "function called": calls_made(FUNCTION),
    "both called": calls_made(CODE, FUNCTION),
    "answered": ANSWERED,
    "cut short": f.Answered(0, NOW, TEXT, USAGE, "max_completion_tokens"),
    "out of budget": f.Answered(0, NOW, (), Usage(), "max_prompt_tokens"),
    "failed": f.Failed(0, NOW, "rate_limit_exceeded", "Slow down.", TEXT, USAGE),
    "stopped": f.Stopped(0, NOW, TEXT, USAGE),
    "tool answered": f.ToolAnswered("c1", "2", NOW),
    "function answered by a tool": f.ToolAnswered("f1", "rain", NOW),
    "unknown call answered": f.ToolAnswered("c9", "2", NOW),
    "outputs submitted": f.OutputsSubmitted({"f1": "rain"}, NOW),
    "wrong outputs submitted": f.OutputsSubmitted({"f1": "rain", "f2": "sun"}, NOW),
    "rung": f.Rung(NOW),
    "cancel requested": CANCELLED,
    "expired": f.Expired(float(EXPIRES_AT)),
    "expired early": f.Expired(NOW),
    "given up": f.GivenUp(NOW),
    "settled": f.Settled(NOW),
}
