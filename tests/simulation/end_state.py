"""What must be true when nothing goes wrong any more and everybody had time to mend what did."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias, get_args

from shared import topics
from shared.feed import event_type
from shared.runs.model import EndStatus
from shared.stores.database import Document

if TYPE_CHECKING:
    from tests.simulation.world import World

Violation: TypeAlias = tuple[int, str]

END = set(get_args(EndStatus))
END_WITHIN_S = 30.0  # after it expired
CANCEL_WITHIN_S = 15.0


def feed_type(event: Document) -> str:
    return event_type(event["type"])


def restless(world: "World") -> bool:
    """Whether something is still to be done."""
    runs = world.store.table("runs").documents.values()
    if any(run["status"] not in END or "watched" in run for run in runs):
        return True
    if any("unpublished" in message for message in world.store.table("messages").documents.values()):
        return True
    return any(lags(world))


def lags(world: "World") -> Iterator[str]:
    for name, group in world.broker.groups.items():
        if group.members and group.members[0].lag:
            yield name


def check(world: "World") -> Iterator[Violation]:
    runs = world.store.table("runs").documents
    told = _marks(world)
    for run_id in world.client.created:
        if run_id not in runs:
            yield 1, f"{run_id} was acknowledged, and is not there"
    for run in runs.values():
        yield from _ended(world, run)
        yield from _messages(world, run)
        outputs = [call["output"] for step in run["steps"] for call in step["calls"]]
        if run["status"] == "completed" and None in outputs:
            yield 12, f"{run['_id']} completed, and a call has no output"
        if told[run["_id"]] != len(run["events"]):
            yield 9, f"the feed has {told[run['_id']]} of the {len(run['events'])} events of {run['_id']}"
        yield from _usage(run)
    yield from _posted(world)
    for message in world.store.table("messages").documents.values():
        if "unpublished" in message:
            yield 26, f"nobody told of {message['_id']}"
    for name in lags(world):
        yield 26, f"{name} did not read all"


def _ended(world: "World", run: Document) -> Iterator[Violation]:
    run_id, status = run["_id"], run["status"]
    if status not in END:
        yield 2, f"{run_id} is still {status}/{run['phase']}"
        return
    if run["ended_at"] > max(run["expires_at"], world.quiet_since) + END_WITHIN_S:
        yield 2, f"{run_id} ended {run['ended_at'] - run['expires_at']:.0f} s after it expired"
    cancelled_at = world.client.cancelled.get(run_id)
    if cancelled_at and run["ended_at"] > max(cancelled_at, world.quiet_since) + CANCEL_WITHIN_S:
        yield 17, f"{run_id} ended {run['ended_at'] - cancelled_at:.0f} s after it was cancelled"
    terminal = [event["type"] for event in run["events"] if event["type"].removeprefix("thread.run.") in END]
    if terminal != [run["events"][-1]["type"]] or terminal != [f"thread.run.{status}"]:
        yield 11, f"{run_id} is {status}, and told of {terminal}"
    if run["owner"] is not None:
        yield 22, f"{run_id} ended, and {run['owner']} owns it"
    if "watched" in run:
        yield 26, f"{run_id} ended, and is still looked after"


def _messages(world: "World", run: Document) -> Iterator[Violation]:
    """What the thread shows of the run is what the run has: nothing twice, nothing of a lost attempt."""
    wanted = {
        step["message_id"]: step for step in run["steps"] if step["message_id"] and not step["superseded"]
    }
    found = [
        m for m in world.store.table("messages").documents.values() if m["run_id"] == run["_id"] and m["live"]
    ]
    completed = [message["_id"] for message in found if message["status"] == "completed"]
    for message in found:
        step = wanted.get(message["_id"])
        if step is None:
            yield (
                (7 if message["status"] == "completed" else 5),
                f"{message['_id']} is of no step of {run['_id']}",
            )
        elif step["content"] != message["content"]:
            yield 5, f"{message['_id']} has not the content of its step"
        elif message["status"] != ("incomplete" if step["incomplete_reason"] else "completed"):
            yield 5, f"{message['_id']} is {message['status']}"
    if missing := wanted.keys() - {message["_id"] for message in found}:
        yield 5, f"{sorted(missing)} of {run['_id']} are not in the thread"
    spoken = [
        step for step in wanted.values() if step["status"] == "completed" and not step["incomplete_reason"]
    ]
    if run["status"] == "completed" and len(completed) != len(spoken):
        yield 5, f"{run['_id']} has {len(completed)} messages for {len(spoken)} steps"
    turns = [step["turn"] for step in spoken]
    if len(set(turns)) != len(turns):
        yield 5, f"{run['_id']} answered twice in one turn"
    if any(step["status"] == "in_progress" for step in run["steps"]) and run["status"] in END:
        yield 7, f"{run['_id']} ended with an open step"


def _marks(world: "World") -> Counter[str]:
    """How far the feed of the broker that is there now tells each run: read as its readers are told to."""
    marks: Counter[str] = Counter()
    for log in world.broker.logs[topics.THREAD_EVENTS.name]:
        for record in log:
            subject, _, seq = dict(record.headers)["ce_id"].decode().partition(":")
            if seq.isdecimal() and int(seq) == marks[subject] + 1:
                marks[subject] += 1
    return marks


def _usage(run: Document) -> Iterator[Violation]:
    counted = [step["usage"] for step in run["steps"] if step["usage"]]
    total = {name: sum(usage[name] for usage in counted) for name in ("prompt_tokens", "completion_tokens")}
    if run["status"] in END and run["usage"] != (total if counted else None):
        yield 21, f"{run['_id']} used {run['usage']}, its steps {total}"


def _posted(world: "World") -> Iterator[Violation]:
    for thread_id, posted in world.client.posted.items():
        documents = world.store.table("messages").documents.values()
        asked = [m for m in documents if m["thread_id"] == thread_id and m["role"] == "user"]
        asked.sort(key=lambda message: int(message["seq"]))
        if [message["_id"] for message in asked] != [message_id for message_id, _ in posted]:
            yield 18, f"{thread_id} has {len(asked)} messages of its user, who posted {len(posted)}"
