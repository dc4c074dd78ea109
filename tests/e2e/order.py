"""What a client may rely on in every event stream: the order of events, and sums of deltas."""

import itertools
from collections.abc import Iterable
from typing import Any

from tests.e2e.api import Event, Json, text_of

MESSAGE = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
]
CALLS = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]
BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
RESUMED = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
LAST = tuple(
    f"thread.run.{end}"
    for end in ("completed", "incomplete", "failed", "cancelled", "expired", "requires_action")
)


def folded(events: Iterable[Event]) -> list[str]:
    """Names of events, with neighbouring deltas of one kind as one."""
    names = (name for name, _ in events)
    return [
        name for name, group in itertools.groupby(names) for _ in (group if "delta" not in name else [None])
    ]


def check(events: list[Event]) -> None:
    """Hold a stream that begins with its run to the rules of the API."""
    assert events[-1] == ("done", "[DONE]")
    assert events[-2][0] in LAST, folded(events)
    assert not [name for name, _ in events[:-2] if name in LAST]
    open_: dict[str, str] = {}  # id -> kind of what was created and is not finished
    seen: set[str] = set()
    sums: dict[str, Json] = {}
    for name, data in events[:-1]:
        if name.startswith("thread.run.step.") or name.startswith("thread.message."):
            kind, _, verb = name.rpartition(".")
            if verb == "created":
                assert data["id"] not in seen, f"{data['id']} is created twice"
                seen.add(data["id"])
                open_[data["id"]] = kind
                sums[data["id"]] = {}
            elif data["id"] in seen:
                assert open_.get(data["id"]) == kind, f"{name} of what is not open: {folded(events)}"
            if verb == "delta":
                add_up(sums.setdefault(data["id"], {}), data["delta"])
            elif verb not in ("created", "in_progress"):
                open_.pop(data["id"], None)
                if verb == "completed" and data["id"] in seen:
                    assert summed(sums[data["id"]]) == final(data), name
    if events[-2][0] != "thread.run.requires_action":
        assert not open_, f"never finished: {open_}"


def add_up(total: Json, delta: Json) -> None:
    """As the Python SDK does it."""
    for key, value in delta.items():
        if key in ("index", "type") or key not in total or total[key] is None:
            total[key] = _indexed(value)
        elif isinstance(value, str):
            total[key] += value
        elif isinstance(value, dict):
            add_up(total[key], value)
        elif isinstance(value, list):
            for entry in value:
                if entry["index"] < len(total[key]):
                    add_up(total[key][entry["index"]], entry)
                else:
                    assert entry["index"] == len(total[key]), "an entry is left out"
                    total[key].append(_indexed(entry))


def _indexed(value: Any) -> Any:
    if isinstance(value, list):
        for position, entry in enumerate(value):
            assert entry["index"] == position
        return [_indexed(entry) for entry in value]
    return {key: _indexed(each) for key, each in value.items()} if isinstance(value, dict) else value


def summed(total: Any) -> Any:
    """The sum as it is stored: entries of lists have no index there."""
    if isinstance(total, list):
        return [summed(entry) for entry in total]
    if isinstance(total, dict):
        return {key: summed(value) for key, value in total.items() if key != "index"}
    return total


def final(obj: Json) -> Json:
    """What the deltas of a message or a step must add up to."""
    if obj["object"] == "thread.message":
        return {"content": obj["content"]} if obj["content"] else {}
    details = obj["step_details"]
    return {} if details["type"] == "message_creation" else {"step_details": details}


def said(events: Iterable[Event]) -> str:
    """The texts of all completed messages, put together."""
    return "".join(text_of(data) for name, data in events if name == "thread.message.completed")


def heard(events: Iterable[Event]) -> str:
    """All that the deltas of messages brought."""
    return "".join(
        part["text"].get("value", "")
        for name, data in events
        if name == "thread.message.delta"
        for part in data["delta"]["content"]
    )
