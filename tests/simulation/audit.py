"""What must hold whatever happens: at each write, at each record of the feed, and when all is quiet.

The numbers are those of the design's list of invariants; ``INVARIANTS`` has them in words.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from services.run_orchestrator.prompt import Prompt
from shared import topics
from shared.runs.model import EndStatus, Run
from shared.stores.database import Document
from tests.simulation import end_state
from tests.simulation.broker import Record
from tests.simulation.process import Killed, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

END = set(get_args(EndStatus))
MAY_FOLLOW = {
    "queued": {"in_progress", "cancelling", "expired"},
    "in_progress": {"requires_action", "cancelling", "completed", "incomplete", "failed", "expired"},
    "requires_action": {"queued", "cancelling", "expired"},
    "cancelling": {"cancelled"},
}
INVARIANTS = {
    0: "nothing ends by an error that nobody expected",
    1: "what was acknowledged is there",
    2: "each run ends, by 30 s after it expired (or after all is quiet)",
    3: "the status follows the table, an end is frozen",
    4: "one active run per thread, which holds the lock",
    5: "the thread shows the messages of the run's steps, each once",
    6: "a message can be read before its end, or its run's, is told",
    7: "an interrupted step leaves no completed message; a lost owner's turn does not count",
    8: "the events of a run are numbered without a gap, and stay",
    9: "the feed of the broker that is there has all events, in order",
    10: "the feed tells of nothing that is not stored",
    11: "one terminal event, the last",
    12: "the first output of a call stays; a completed run has all",
    13: "no call runs twice in one sandbox",
    14: "outputs only for calls that are awaited, and only signed ones",
    15: "the epoch never falls; only the owner writes",
    16: "a model is asked by one process per epoch",
    17: "cancelling ends as cancelled, within 15 s (or after all is quiet)",
    18: "a client's messages are stored once, in its order",
    19: "a run reads what was in the thread when it was created",
    21: "a run's usage is the sum of its steps'",
    22: "who has left owns nothing",
    24: "only records that cannot be read are set aside",
    26: "nothing is left to do: all told, all read",
}
FROZEN = ("status", "phase", "steps", "events", "outcome", "usage", "ended_at", "epoch")


class Audit:
    def __init__(self, world: "World") -> None:
        self._world = world
        self.violations: list[str] = []
        self.garbage = 0
        self._effects: Counter[tuple[int, str]] = Counter()
        self._asked: dict[tuple[str, int], Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def violate(self, invariant: int, what: str) -> None:
        text = f"{invariant}: {what}"
        if text not in self.violations:
            self.violations.append(text)
            self._world.note("VIOLATION", text)

    # Each write

    def written(self, table: str, before: Document | None, after: Document | None, writer: str) -> None:
        if table != "runs" or after is None:
            return
        run_id, status = after["_id"], after["status"]
        self._world.note(
            writer, f"-> {run_id} v{after['version']} {status}/{after['phase']} e{after['epoch']}"
        )
        if (status not in END) != bool(after.get("active")):
            self.violate(4, f"{run_id} is {status}, its lock is {after.get('active')}")
        if before is None:
            self._only_active(after)
            return
        self._history(before, after)
        self._events(before, after)
        self._calls(before, after)
        self._epoch(before, after, writer)
        if status in END and before["status"] not in END:
            self._ending(after)

    def _only_active(self, after: Document) -> None:
        runs = self._world.store.table("runs").documents.values()
        active = [
            run["_id"] for run in runs if run["thread_id"] == after["thread_id"] and run["status"] not in END
        ]
        if len(active) > 1:
            self.violate(4, f"{active} are active on one thread")

    def _history(self, before: Document, after: Document) -> None:
        old, new = before["status"], after["status"]
        if old in END:
            changed = [name for name in FROZEN if before.get(name) != after.get(name)]
            if changed:
                self.violate(3, f"{after['_id']} was {old} and changed in {changed}")
        elif old == "cancelling" and new == "completed":
            self.violate(17, f"{after['_id']} was cancelling and completed")
        elif old != new and new not in MAY_FOLLOW[old]:
            self.violate(3, f"{after['_id']} went from {old} to {new}")

    def _events(self, before: Document, after: Document) -> None:
        known, events = before["events"], after["events"]
        if events[: len(known)] != known:
            self.violate(8, f"{after['_id']} changed an event that it had")
        for place, event in enumerate(events[len(known) :], len(known) + 1):
            if event["seq"] != place:
                self.violate(8, f"{after['_id']} has event {event['seq']} at place {place}")
            if event["type"].removeprefix("thread.run.") in END and place != len(events):
                self.violate(11, f"{after['_id']} has events after its end")

    def _calls(self, before: Document, after: Document) -> None:
        if before["steps"] is after["steps"]:
            return
        known = {call["id"]: call["output"] for step in before["steps"] for call in step["calls"]}
        for step in after["steps"]:
            for call in step["calls"]:
                was, now = known.get(call["id"]), call["output"]
                if was is not None and was != now:
                    self.violate(12, f"{call['id']} had an output and got another one")
                if was is None and now is not None and before["phase"] not in ("tools", "user"):
                    self.violate(14, f"{call['id']} got an output while the run was in {before['phase']}")
                if now == "forged":
                    self.violate(14, f"{call['id']} took an output that nobody signed")

    def _epoch(self, before: Document, after: Document, writer: str) -> None:
        if after["epoch"] < before["epoch"]:
            self.violate(15, f"the epoch of {after['_id']} fell")
        held = before["phase"] == "llm" and after["epoch"] == before["epoch"]
        taken_over = before["phase"] == after["phase"] == "llm" and after["epoch"] > before["epoch"]
        if taken_over and any(
            step["turn"] == before["turn"] and not step["superseded"] for step in after["steps"]
        ):
            self.violate(7, f"{after['_id']} was taken over, and what its lost owner wrote stands")
        if held and before["owner"] != writer and before["steps"] != after["steps"]:
            self.violate(15, f"{writer} wrote to {after['_id']}, which {before['owner']} owns")

    def _ending(self, run: Document) -> None:
        for step in run["steps"]:
            if step["message_id"] and not step["superseded"]:
                message = self._message(step["message_id"])
                if message is None or message["content"] != step["content"] or not message["live"]:
                    self.violate(6, f"{run['_id']} ended, and {step['message_id']} is not there")

    def _message(self, message_id: str) -> Document | None:
        return self._world.store.table("messages").documents.get(message_id)

    # Each record of the feed

    def told(self, record: Record) -> None:
        headers = {name: value.decode() for name, value in record.headers}
        subject, _, seq = headers["ce_id"].partition(":")
        if not seq.isdecimal():
            return
        run = self._world.store.table("runs").documents.get(subject)
        stored = run["events"][int(seq) - 1] if run and int(seq) <= len(run["events"]) else None
        if run is None or stored is None:
            self.violate(10, f"the feed tells of {headers['ce_id']}, which is not stored")
            return
        if end_state.feed_type(stored) != headers["ce_type"]:
            self.violate(10, f"the feed tells {headers['ce_type']} as {headers['ce_id']}")
        if stored["type"] == "thread.message.completed":
            step = next(step for step in run["steps"] if step["id"] == stored["step_id"])
            message = self._message(step["message_id"])
            if not step["superseded"] and (message is None or message["status"] != "completed"):
                self.violate(6, f"the feed tells of {step['message_id']} before it can be read")

    # Model and sandbox

    @contextmanager
    def asked(self, run: Run, process: Process, prompt: Prompt) -> Iterator[None]:
        other = self._asked.get((run.id, run.epoch))
        if other is not None and not other.dead:
            self.violate(16, f"the model is asked twice for {run.id} in epoch {run.epoch}")
        said = [message["content"] for message in prompt["messages"] if message["role"] == "user"]
        posted = [text for _, text in self._world.client.posted[run.thread_id]]
        must = self._world.client.must_read[run.id]
        if [text for text in said if text in must] != must or len(set(said)) != len(said):
            self.violate(19, f"{run.id} read {said} of {posted}")
        self._asked[run.id, run.epoch] = process
        try:
            yield
        finally:
            del self._asked[run.id, run.epoch]

    def effect(self, sandbox: int, call_id: str) -> None:
        self._effects[sandbox, call_id] += 1
        if self._effects[sandbox, call_id] > 1:
            self.violate(13, f"{call_id} ran twice in one sandbox")

    # Processes

    def left(self, process: Process, held: Set[str], told_s: float) -> None:
        """A process left in order: what it worked on is nobody's, unless it could not reach the store.

        Also if it could not in the very moment in which it was told to leave: then it had let go of the run.
        """
        runs = self._world.store.table("runs").documents
        kept = [run_id for run_id in sorted(held) if runs[run_id]["owner"] == process.name]
        if kept and process.disturbed_s < told_s:
            self.violate(22, f"{process.name} left, and kept {kept}")

    def watch_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def crashed(self, error: BaseException | None, what: str) -> None:
        """Something in the product ended by an error that nobody expected."""
        if not isinstance(error, Killed):
            self.violate(0, f"{what}: {error!r}")

    # The end

    def restless(self) -> bool:
        return end_state.restless(self._world)

    def finish(self) -> None:
        for invariant, what in end_state.check(self._world):
            self.violate(invariant, what)
        dead = {
            name: log
            for name, log in self._world.broker.logs.items()
            if name.endswith(topics.DEAD_LETTER_SUFFIX)
        }
        aside = sum(len(partition) for log in dead.values() for partition in log)
        if aside and not self.garbage:
            self.violate(24, f"{aside} records were set aside, and none was bad")
