"""Recorded answers of the original service, and what it means to be like one."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.api import Event, Json

FOLDER = Path(__file__).resolve().parents[1] / "golden"
# In the published schema, and in newer answers, but not in the recorded ones.
ADDED = {
    "thread.message": {"status", "incomplete_details", "incomplete_at", "completed_at"},
    "thread.run.step": {"expired_at", "metadata"},
}


def recorded(name: str) -> Json:
    objects: dict[str, Json] = json.loads((FOLDER / "objects.json").read_text())
    return objects[name]


def recorded_stream(name: str) -> list[Event]:
    streams = json.loads((FOLDER / "streams.json").read_text())
    return [(event, data) for event, data in streams[name]]


def check_like(answer: Json, model: Json) -> None:
    """``answer`` has the keys of ``model`` in that order, with values of the same kinds."""
    added = ADDED.get(model.get("object", ""), set()) - set(model)
    assert [key for key in answer if key not in added] == list(model)
    for key, value in model.items():
        assert alike(answer[key], value), f"{key}: {answer[key]!r}, recorded was {value!r}"


def alike(value: Any, model: Any) -> bool:
    """Same types; an id has the same prefix, a status or type the same words."""
    if isinstance(model, dict):
        return isinstance(value, dict) and (
            not model or (list(value) == list(model) and all(alike(value[key], model[key]) for key in model))
        )
    if isinstance(model, list):
        return isinstance(value, list) and (not model or all(alike(each, model[0]) for each in value))
    if isinstance(model, str) and "_" in model and len(model.rpartition("_")[2]) == 24:
        prefix = model.rpartition("_")[0]
        return isinstance(value, str) and value.startswith(prefix + "_") and len(value) == len(model)
    return type(value) is type(model)
