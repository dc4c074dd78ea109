"""Invariants of what is there when all is over."""

from collections.abc import Iterator

from tests.chaos.history import History

Broken = Iterator[tuple[str, str]]

MOST_GROWTH = 1.5
MOST_GROWTH_MB = 120.0
STORED = ("arriving", "there", "going")


def the_dead_hold_nothing(history: History) -> Broken:
    """22: nothing that a dead process held outlives its lease and a sweep."""
    for run in history.runs:
        if run["owner"] is not None:
            yield f"{run['owner']} still owns it", run["_id"]
    current = [slot for slot in history.slots if slot["until"] > history.ended_at]
    if len(current) > history.gateways:
        yield f"{len(current)} slots are held, by {history.gateways} gateways", ""
    for slot in history.slots:
        if slot["until"] > history.ended_at + history.slot_lease_s + 1:
            yield f"slot {slot['_id']} is held for longer than a lease", ""
    open_calls = {call["id"] for run in history.runs if run.get("active") for call in _calls(run)}
    for execution in history.executions:
        if not execution["done"] and execution["until"] > history.ended_at and not open_calls:
            yield f"{execution['owner']} still executes {execution['_id']}", execution["run_id"]


def _calls(run: dict[str, list[dict[str, list[dict[str, str]]]]]) -> list[dict[str, str]]:
    return [call for step in run["steps"] for call in step["calls"]]


def nothing_is_left_behind(history: History) -> Broken:
    """25: no process, folder or file is left, and no secret was told."""
    for each in history.leftovers:
        yield f"{each} is left", ""
    known = {file["_id"] for file in history.files if file["state"] in STORED}
    for file_id in history.bytes_of:
        if file_id not in known:
            yield f"the bytes of {file_id} are stored, and it is no file", ""
    bytes_of = set(history.bytes_of)
    for file in history.files:
        if file["state"] == "there" and file["bytes"] and file["_id"] not in bytes_of:
            yield f"the bytes of {file['_id']} are gone", ""
    public = [record.value for record in (*history.feed, *history.dead)]
    for secret in history.secrets:
        if any(secret in text for text in (*history.told, *public)):
            yield f"the secret {secret[:4]}... was told", ""


def all_is_quiet(history: History) -> Broken:
    """26: nothing unpublished, no lag, no memory that grew, some seconds after the last request."""
    for run in history.runs:
        if "watched" in run:
            yield f"it is still watched as {run['watched']}", run["_id"]
        elif run["published"]["n"] != len(run["events"]):
            yield f"{run['published']['n']} of its {len(run['events'])} events are published", run["_id"]
    for message in history.messages:
        if message.get("unpublished"):
            yield f"nobody has announced {message['_id']}", ""
    for place, lag in history.lag.items():
        if lag:
            yield f"{place} lags by {lag}", ""
    for process, (first, last) in history.memory_mb.items():
        if last > first * MOST_GROWTH + MOST_GROWTH_MB:
            yield f"{process} grew from {first:.0f} to {last:.0f} MB", ""
