"""JSON Schemas (2020-12) of the messages on Kafka, of the headers of the public feed, and of stored runs."""

from typing import get_args

from pydantic import BaseModel

from shared import events, feed
from shared.runs.model import Json, Run, Status, StepStatus

BASE = feed.SCHEMA.rpartition("/")[0]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: dict[str, type[events.Message]] = {
    "run-command.v1": events.RunCommand,
    "code-requested.v1": events.CodeRequested,
    "search-requested.v1": events.SearchRequested,
    "tool-result.v1": events.ToolResult,
    "file-command.v1": events.FileCommand,
    "frame.v1": events.Frame,
    "control.v1": events.Control,
    "thread-event.v1": events.ThreadEvent,
}
# Not for others: what is stored, which replicas of two versions read and write side by side.
DOCUMENTS = {"run-document.v1": Run}
HEADERS = "thread-event-headers.v1"
OPTIONAL = {"ce_sequence", "traceparent", "ce_traceparent"}

# What the public feed tells of: the names of the event stream, and one that only the feed knows.
FEED_TYPES = (
    *(f"thread.run.{name}" for name in ("created", *get_args(Status))),
    *(f"thread.run.step.{name}" for name in ("created", *get_args(StepStatus))),
    *(f"thread.message.{name}" for name in ("created", "in_progress", "completed", "incomplete", "deleted")),
)


def schemas() -> dict[str, Json]:
    """Return every schema by its name, which carries the version of the contract."""
    models: dict[str, type[BaseModel]] = {**MODELS, **DOCUMENTS}
    made = {name: model.model_json_schema() for name, model in models.items()} | {HEADERS: headers()}
    return {name: {"$schema": DIALECT, "$id": f"{BASE}/{name}.json", **made[name]} for name in sorted(made)}


def headers() -> Json:
    """The Kafka headers of a feed record: CloudEvents 1.0 in binary mode."""
    text: Json = {"type": "string", "minLength": 1}
    trace = text | {"description": "W3C trace context of what caused the event, where traces are on."}
    properties: Json = {
        "content-type": {"const": "application/json"},
        "ce_specversion": {"const": "1.0"},
        "ce_id": text
        | {
            "description": "Same source and same id: the same event, delivered again.",
            "examples": ["run_x:3"],
        },
        "ce_type": text
        | {
            "pattern": r"^dev\.threadmill\.[a-z_]+(\.[a-z_]+)+\.v[0-9]+$",
            "description": "Ends with its major version. More types may come.",
            "examples": [feed.event_type(name) for name in FEED_TYPES],
        },
        "ce_source": text
        | {"pattern": "^/projects/[^/]+/threads/[^/]+$", "description": "The thread, in its project."},
        "ce_subject": text | {"description": "The id of the run or the message that the event is about."},
        "ce_time": text | {"format": "date-time"},
        "ce_partitionkey": text | {"description": "The record's key: the thread's id."},
        "ce_dataschema": {"const": feed.SCHEMA},
        "ce_sequence": text
        | {
            "pattern": "^[0-9]{10}$",
            "description": "Place among the events of the run, from 1 without a gap. Sorts as text.",
        },
        "traceparent": trace,
        "ce_traceparent": trace,
    }
    return {
        "title": "ThreadEventHeaders",
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in OPTIONAL],
    }
