"""Invariants of runs: how they go on, how they end, what they leave in their thread."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tests.chaos.history import History, Json, happened

Broken = Iterator[tuple[str, str]]

ENDS = {"completed", "incomplete", "failed", "cancelled", "expired"}
TABLE: dict[str, set[str]] = {
    "queued": {"in_progress", "cancelling", "expired", "failed"},
    "in_progress": {"requires_action", "cancelling"} | ENDS - {"cancelled"},
    "requires_action": {"queued", "cancelling", "expired"},
    "cancelling": {"cancelled", "failed", "expired"},
}
LATE_S = 30.0  # past its expiry, until a run must have ended
CANCELLED_WITHIN_S = 15.0
EVENT = "thread.run."


def each_run_ends_in_time(history: History) -> Broken:
    """2: each run ends in exactly one terminal status, by its expiry + 30 s."""
    for run in history.runs:
        if run["status"] not in ENDS:
            yield f"it is {run['status']} at the end", run["_id"]
        elif run["ended_at"] > run["expires_at"] + LATE_S + history.disturbed_s(
            run["expires_at"], run["ended_at"]
        ):
            yield f"it ended {run['ended_at'] - run['expires_at']} s after its expiry", run["_id"]


def statuses_follow_the_table(history: History) -> Broken:
    """3: the history of a run follows the table; a terminal status is frozen."""
    for run in history.runs:
        statuses = statuses_of(run)
        for before, after in pairwise(statuses):
            if after not in TABLE.get(before, set()):
                yield f"{before} became {after}", run["_id"]
        if statuses and statuses[-1] != run["status"]:
            yield f"its last event says {statuses[-1]}, the run {run['status']}", run["_id"]
    last: dict[tuple[str, str], str] = {}
    for seen in history.seen:
        before = last.get((seen.eye, seen.run_id), seen.status)
        if seen.status != before and seen.status not in reachable(before):
            yield f"seen {before}, then {seen.status}", seen.run_id
        last[seen.eye, seen.run_id] = seen.status


def statuses_of(run: Json) -> list[str]:
    names = [event["type"].removeprefix(EVENT) for event in run["events"]]
    return [name for name in names if name in TABLE or name in ENDS]


def reachable(status: str) -> set[str]:
    found, todo = set[str](), [status]
    for each in todo:  # grows
        for after in TABLE.get(each, set()) - found:
            found.add(after)
            todo.append(after)
    return found


def one_active_run_in_a_thread(history: History) -> Broken:
    """4: at most one run of a thread is active at a time."""
    active = Counter(run["thread_id"] for run in history.runs if run.get("active"))
    for thread_id, count in active.items():
        if count > 1:
            yield f"{count} active runs in {thread_id}", ""
    threads: dict[str, list[Json]] = {}
    for run in history.runs:
        threads.setdefault(run["thread_id"], []).append(run)
    for runs in threads.values():
        runs.sort(key=lambda run: run["seq"])
        for first, second in pairwise(runs):
            # A claim cannot come before the insert, nor the insert before the end of the run before.
            claimed, ended = happened(second, "in_progress"), first["events"][-1]["at"]
            if claimed is not None and claimed < ended:
                yield f"it was worked on before {first['_id']} had ended", second["_id"]


def a_completed_run_has_its_messages(history: History) -> Broken:
    """5: a completed run has exactly one completed message for each message step."""
    written: dict[str, list[Json]] = {}
    for message in history.messages:
        if message["role"] == "assistant" and message.get("run_id"):
            written.setdefault(message["run_id"], []).append(message)
    for run in whole(history):
        wanted = [step["message_id"] for step in standing(run) if step["type"] == "message_creation"]
        found = [m for m in written.get(run["_id"], []) if m["live"] and m["status"] == "completed"]
        ids = [message["_id"] for message in found]
        if run["status"] == "completed" and sorted(wanted) != sorted(ids):
            yield f"its steps name {wanted}, its thread has {ids}", run["_id"]
        if not set(ids) <= set(wanted):
            yield f"messages {set(ids) - set(wanted)} belong to no step that counts", run["_id"]
        texts = {step["message_id"]: list(step["content"]) for step in standing(run)}
        for message in found:
            if texts.get(message["_id"], message["content"]) != message["content"]:
                yield f"{message['_id']} reads differently in its thread", run["_id"]


def messages_are_visible_before_the_end(history: History) -> Broken:
    """6: whoever sees the end of a run sees its messages."""
    runs = {run["_id"]: run for run in whole(history)}
    for op in history.ops:
        run = runs.get(op.run_id) if op.kind == "list" and op.done else None
        if run is None or run["status"] != "completed":
            continue
        listed = {message["id"] for message in op.answer["data"] if message["status"] == "completed"}
        wanted = {step["message_id"] for step in standing(run) if step["message_id"]}
        if wanted - listed:
            yield f"seen completed, but without {wanted - listed}", run["_id"]


def interrupted_steps_leave_no_completed_message(history: History) -> Broken:
    """7: a step that was interrupted leaves no completed message."""
    messages = {message["_id"]: message for message in history.messages}
    for run in history.runs:
        for step in run["steps"]:
            message = messages.get(step["message_id"])
            if message is None:
                continue
            if step["superseded"] and message["live"]:
                yield f"{message['_id']} of a lost attempt is still listed", run["_id"]
            if step["status"] != "completed" and message["live"] and message["status"] != "incomplete":
                yield f"{message['_id']} is {message['status']}, its step {step['status']}", run["_id"]


def events_are_gapless(history: History) -> Broken:
    """8: the events of a run count from 1 without a gap."""
    for run in history.runs:
        numbers = [event["seq"] for event in run["events"]]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"its events are {numbers}", run["_id"]


def one_end_and_it_is_the_last_event(history: History) -> Broken:
    """11: one terminal event, the last one."""
    for run in history.runs:
        ends = [event["seq"] for event in run["events"] if event["type"].removeprefix(EVENT) in ENDS]
        if run["status"] in ENDS and ends != [run["events"][-1]["seq"]]:
            yield f"it has {len(run['events'])} events, and ended with {ends}", run["_id"]


def epochs_never_fall(history: History) -> Broken:
    """15: the epoch of a run never falls, and each owner's writes carry theirs."""
    versions: dict[str, dict[int, int]] = {}
    for seen in history.seen:
        if seen.version is not None and seen.epoch is not None:
            epoch = versions.setdefault(seen.run_id, {}).setdefault(seen.version, seen.epoch)
            if epoch != seen.epoch:
                yield f"version {seen.version} was seen in epochs {epoch} and {seen.epoch}", seen.run_id
    for run in history.runs:
        versions.setdefault(run["_id"], {})[run["version"]] = run["epoch"]
    for run_id, epochs in versions.items():
        in_order = [epoch for _, epoch in sorted(epochs.items())]
        if in_order != sorted(in_order):
            yield f"its epochs were {in_order}", run_id


def cancelling_ends_soon_and_never_well(history: History) -> Broken:
    """17: cancelling never becomes completed, and ends in 15 s."""
    runs = {run["_id"]: run for run in history.runs}
    for run in runs.values():
        asked = happened(run, "cancelling")
        if asked is None or run["status"] not in ENDS:
            continue
        if run["status"] in ("completed", "incomplete"):
            yield f"it was cancelling, and is {run['status']}", run["_id"]
        ended = run["events"][-1]["at"]
        took = ended - asked - history.disturbed_s(asked, ended)
        if took > CANCELLED_WITHIN_S:
            yield f"it was cancelling for {took:.1f} s in which nothing was wrong", run["_id"]
    for op in history.ops:
        if op.kind == "cancel" and op.done and happened(runs[op.run_id], "cancelling") is None:
            yield "a cancellation was acknowledged, and forgotten", op.run_id


def usage_is_the_sum_of_the_steps(history: History) -> Broken:
    """21: the usage of a run is the sum of its steps."""
    for run in history.runs:
        if run["status"] not in ENDS:
            continue
        used = [step["usage"] for step in run["steps"] if step["usage"]]
        names = ("prompt_tokens", "completion_tokens")
        total = {name: sum(each[name] for each in used) for name in names} if used else None
        if total != run["usage"]:
            yield f"its steps used {total}, the run {run['usage']}", run["_id"]


def standing(run: Json) -> list[Json]:
    """The steps that count: not those of lost attempts."""
    return [step for step in run["steps"] if not step["superseded"]]


def whole(history: History) -> Iterator[Json]:
    """Runs whose thread is there with all its messages."""
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    return (run for run in history.runs if run["thread_id"] not in gone)
