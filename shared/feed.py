"""State changes as CloudEvents 1.0 in Kafka's binary mode: facts in the body, the envelope in headers."""

from datetime import UTC, datetime
from typing import TypeAlias

from shared.events import ThreadEvent
from shared.runs.model import Event, Run

Headers: TypeAlias = list[tuple[str, bytes]]

SCHEMA = "https://threadmill.dev/schemas/thread-event.v1.json"


def run_event(run: Run, event: Event) -> tuple[Headers, ThreadEvent]:
    """Return headers and body for one event of a run."""
    step = next((step for step in run.steps if step.id == event.step_id), None)
    body = ThreadEvent(
        project_id=run.project_id,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        run_id=run.id,
        step_id=event.step_id,
        message_id=step.message_id if step else None,
        status=event.data.get("status"),
        seq=event.seq,
    )
    return _headers(f"{run.id}:{event.seq}", event.type, event.at, run.id, body, event.seq), body


def message_event(
    name: str, message_id: str, thread_id: str, project_id: str, at: float
) -> tuple[Headers, ThreadEvent]:
    """Return headers and body for what a client did to a message: ``created`` or ``deleted``."""
    body = ThreadEvent(project_id=project_id, thread_id=thread_id, message_id=message_id)
    return _headers(f"{message_id}:{name}", f"thread.message.{name}", at, message_id, body, None), body


def event_type(stream_name: str) -> str:
    """The feed's name for what the event stream calls ``stream_name``.

    >>> event_type("thread.run.step.completed")
    'dev.threadmill.run.step.completed.v1'
    """
    return f"dev.threadmill.{stream_name.removeprefix('thread.')}.v1"


def traced(headers: Headers, trace: Headers) -> Headers:
    """Return the headers of a record with the W3C ``trace`` that it is sent in; an event has it twice."""
    if not (trace and headers):
        return headers or trace
    return [*headers, *trace, *((f"ce_{name}", value) for name, value in trace)]


def _headers(id_: str, type_: str, at: float, subject: str, body: ThreadEvent, seq: int | None) -> Headers:
    values = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": id_,
        "ce_type": event_type(type_),
        "ce_source": f"/projects/{body.project_id}/threads/{body.thread_id}",
        "ce_subject": subject,
        "ce_time": datetime.fromtimestamp(at, UTC).isoformat(),
        "ce_partitionkey": body.thread_id,
        "ce_dataschema": SCHEMA,
    }
    if seq is not None:
        values["ce_sequence"] = f"{seq:010d}"  # the extension compares as text
    return [(name, value.encode()) for name, value in values.items()]
