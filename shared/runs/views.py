"""A run, a run step or a message as the API shows it: now, or as it was at an earlier event.

The shape is the v2 wire format (keys in its order); the gateway turns it into v1 where asked.
"""

from typing import Any, TypeAlias

from shared.runs.model import Event, Json, Run, Step, ToolCall, Usage

Named: TypeAlias = tuple[str, Json]

OPENING = ("created", "in_progress")
WITHDRAWN = "thread.message.deleted"  # for the public feed only: clients' stream readers do not know it


def at_event(run: Run, event: Event) -> Json:
    """Return the object that ``event`` is about, as it was right after the event."""
    if event.type.startswith("thread.run.step."):
        step = _step(run, event)
        return step_view(run, _opened(step) if event.type.endswith(OPENING) else step, live=run_live(event))
    if event.type.startswith("thread.message."):
        step = _step(run, event)
        return message_view(run, _opened(step) if event.type.endswith(OPENING) else step)
    return run_view(run, event)


def run_live(event: Event) -> bool:
    """Steps show when their run expires for as long as they are watched."""
    return event.type.startswith("thread.run.step.")


def run_view(run: Run, event: Event | None = None) -> Json:
    """The run now, or with what ``event`` kept of that moment."""
    settings = run.settings
    then = event.data if event else {"status": run.status, "started_at": run.started_at}
    status = then["status"]
    ended_at = (event.data.get("ended_at") if event else run.ended_at) or None
    usage = (event.data.get("usage") if event else run.usage and run.usage.model_dump()) or None
    outcome = run.outcome if run.outcome and status == run.outcome.status else None
    v1 = {"file_ids": list(settings.file_ids)} if settings.file_ids else {}
    return v1 | {
        "id": run.id,
        "object": "thread.run",
        "created_at": run.created_at,
        "assistant_id": run.assistant_id,
        "thread_id": run.thread_id,
        "status": status,
        "started_at": then.get("started_at"),
        "expires_at": None if outcome else run.expires_at,
        "cancelled_at": ended_at if status == "cancelled" else None,
        "failed_at": ended_at if status == "failed" else None,
        "completed_at": ended_at if status in ("completed", "incomplete") else None,
        "required_action": required_action(run, event) if status == "requires_action" else None,
        "last_error": outcome.last_error.model_dump() if outcome and outcome.last_error else None,
        "model": settings.model,
        "instructions": settings.instructions,
        "tools": list(settings.tools),
        "tool_resources": {  # without the vector stores, as recorded
            tool: named for tool, named in settings.tool_resources.items() if tool != "file_search"
        },
        "metadata": run.metadata,
        "temperature": 1.0 if settings.temperature is None else settings.temperature,
        "top_p": 1.0 if settings.top_p is None else settings.top_p,
        "reasoning_effort": settings.reasoning_effort,
        "max_completion_tokens": settings.max_completion_tokens,
        "max_prompt_tokens": settings.max_prompt_tokens,
        "truncation_strategy": settings.truncation_strategy,
        "incomplete_details": {"reason": outcome.incomplete_reason}
        if outcome and outcome.incomplete_reason
        else None,
        "usage": usage_view(Usage.model_validate(usage)) if usage else None,
        "response_format": settings.response_format,
        "tool_choice": settings.tool_choice,
        "parallel_tool_calls": settings.parallel_tool_calls,
    }


def required_action(run: Run, event: Event | None = None) -> Json:
    """The function calls that the client is to answer; those of the step that was open at ``event``."""
    step = run.steps[-1]
    if event:
        began = {e.step_id for e in run.events[: event.seq] if e.type == "thread.run.step.created"}
        step = [s for s in run.steps if s.id in began][-1]
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.input}}
        for call in step.calls
        if call.type == "function"
    ]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def step_view(run: Run, step: Step, *, live: bool = False) -> Json:
    """``live`` steps (in a stream, or of a run that has not ended) show when their run expires."""
    ended = not step.open
    return {
        "id": step.id,
        "object": "thread.run.step",
        "created_at": step.created_at,
        "run_id": run.id,
        "assistant_id": run.assistant_id,
        "thread_id": run.thread_id,
        "type": step.type,
        "status": step.status,
        "cancelled_at": step.ended_at if step.status == "cancelled" else None,
        "completed_at": step.ended_at if step.status == "completed" else None,
        "expires_at": run.expires_at if live or not run.ended else None,
        "expired_at": step.ended_at if step.status == "expired" else None,
        "failed_at": step.ended_at if step.status == "failed" else None,
        "last_error": step.last_error.model_dump() if step.last_error else None,
        "step_details": _details(step),
        "metadata": {},
        "usage": usage_view(step.usage) if ended and step.usage else None,
    }


def message_view(run: Run, step: Step) -> Json:
    """The message of a ``message_creation`` step."""
    reason = step.incomplete_reason
    status = "in_progress" if step.open else "incomplete" if reason else "completed"
    return {
        "id": step.message_id,
        "object": "thread.message",
        "created_at": step.created_at,
        "assistant_id": run.assistant_id,
        "thread_id": run.thread_id,
        "run_id": run.id,
        "status": status,
        "incomplete_details": {"reason": reason} if reason else None,
        "incomplete_at": step.ended_at if status == "incomplete" else None,
        "completed_at": step.ended_at if status == "completed" else None,
        "role": "assistant",
        "content": list(step.content),
        "attachments": _attachments(step),
        "metadata": {},
    }


def _attachments(step: Step) -> list[Json]:
    """The files that the text links to."""
    annotations = (each for part in step.content for each in part.get("text", {}).get("annotations", ()))
    ids = dict.fromkeys(each["file_path"]["file_id"] for each in annotations if each["type"] == "file_path")
    return [{"file_id": file_id, "tools": [{"type": "code_interpreter"}]} for file_id in ids]


def call_view(call: ToolCall) -> Json:
    if call.type == "function":
        function = {"name": call.name, "arguments": call.input, "output": call.output}
        return {"id": call.id, "type": "function", "function": function}
    if call.type == "file_search":
        found = [result_view(each) for each in call.results]
        search = {"ranking_options": call.ranking.model_dump(), "results": found}
        return {"id": call.id, "type": "file_search", "file_search": search}
    interpreter = {"input": call.input, "outputs": list(call.outputs)}
    return {"id": call.id, "type": "code_interpreter", "code_interpreter": interpreter}


def result_view(result: Json) -> Json:
    """A hit of a search; its text is shown only to those who ask for it."""
    shown = {name: result[name] for name in ("file_id", "file_name", "score")}
    return shown | {"attributes": result.get("attributes") or {}}


def usage_view(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _details(step: Step) -> Json:
    if step.type == "message_creation":
        return {"type": "message_creation", "message_creation": {"message_id": step.message_id}}
    return {"type": "tool_calls", "tool_calls": [call_view(call) for call in step.calls]}


def _opened(step: Step) -> Step:
    """The step as it was when it began."""
    return step.evolve(
        status="in_progress", ended_at=None, last_error=None, content=(), calls=(), incomplete_reason=None
    )


def _step(run: Run, event: Event) -> Step:
    return next(step for step in run.steps if step.id == event.step_id)
