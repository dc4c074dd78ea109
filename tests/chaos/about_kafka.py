"""Invariants of what went over Kafka."""

from collections import Counter
from collections.abc import Iterator

from shared.feed import event_type
from tests.chaos.history import History, Json

Broken = Iterator[tuple[str, str]]

AROUND_S = 15.0  # of a broker's loss: what was on the way then may arrive at the new one first


def the_feed_has_every_event_in_order(history: History) -> Broken:
    """9: the topic without its repeats is what MongoDB has, in order; repeats are the same bytes."""
    told: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    places: dict[str, int] = {}
    for record in history.feed:
        run_id = record.id.rpartition(":")[0]
        if values.setdefault(record.id, record.value) != record.value:
            yield f"{record.id} was told in two ways", run_id
        if places.setdefault(run_id, record.partition) != record.partition:
            yield f"{run_id} is on two partitions", run_id
        if record.id not in (known := told.setdefault(run_id, [])):
            known.append(record.id)
    for run in history.runs:
        wanted = [f"{run['_id']}:{event['seq']}" for event in run["events"]]
        found = told.get(run["_id"], [])
        if missing := set(wanted) - set(found):
            yield f"the feed lacks {sorted(missing)}", run["_id"]
        elif found != wanted and not moved(history, run):
            yield f"the feed has it as {found}", run["_id"]


def moved(history: History, run: Json) -> bool:
    """Whether a broker was lost while the run was being told."""
    begin, end = run["created_at"] - AROUND_S, run["events"][-1]["at"] + AROUND_S
    return any(begin < at < end for at in history.brokers_lost)


def the_feed_has_no_other_event(history: History) -> Broken:
    """10: the feed tells nothing that MongoDB does not have."""
    known = {
        f"{run['_id']}:{event['seq']}": event_type(event["type"])
        for run in history.runs
        for event in run["events"]
    }
    messages = {message["_id"] for message in history.messages}
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    for record in history.feed:
        subject, _, what = record.id.rpartition(":")
        if what in ("created", "deleted"):
            if subject not in messages and record.key not in gone:
                yield f"{record.id} is about a message that is not there", ""
        elif known.get(record.id) != record.type:
            yield f"the feed has {record.type} as {record.id}: the store has {known.get(record.id)}", subject


def only_the_unreadable_is_set_aside(history: History) -> Broken:
    """24: consumed = handled + set aside + repeated: what was set aside is what nobody can read."""
    injected, dead = Counter(history.injected), Counter(record.value for record in history.dead)
    for value in dead:
        if value not in injected:
            yield f"{value[:200]!r} was set aside", ""
    for value in injected:
        if value not in dead:
            yield f"{value[:200]!r} cannot be read, and was dropped", ""
