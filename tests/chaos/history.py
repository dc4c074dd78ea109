"""What happened while things were broken, from every side: all that the checker looks at.

Documents are as the store has them, objects as the API shows them; times are Unix seconds.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]

# ``foreign``: with the key of another project; ``list``: the thread's messages, once its run was seen ended
Kind: TypeAlias = Literal[
    "assistant", "thread", "message", "run", "submit", "cancel", "delete", "list", "foreign", "file", "steps"
]


@dataclass
class Op:
    """One operation of a client, with all its tries; ``status`` 0: no answer came."""

    kind: Kind
    asked_at: float
    answered_at: float = 0.0
    status: int = 0
    tries: int = 1
    thread_id: str = ""
    run_id: str = ""
    text: str = ""  # of a user's message: no other has it
    asked: Json = field(default_factory=dict)
    answer: Json = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.status == 200


@dataclass
class Seen:
    """A run as somebody saw it. Sightings of one ``eye`` are in the order in which it looked."""

    eye: str
    at: float
    run_id: str
    thread_id: str
    status: str
    epoch: int | None = None
    version: int | None = None


@dataclass
class Transcript:
    """An event stream as its client read it; ``broken``: the connection ended before the stream."""

    run_id: str
    thread_id: str
    events: list[tuple[str, Any]]
    broken: bool = False


@dataclass
class ModelCall:
    """A request to the model. ``said`` is a text that no other reply has, "" for a tool call."""

    began_at: float
    ended_at: float
    prompt: list[Json]
    said: str = ""


@dataclass
class Record:
    """A record on Kafka; those of one partition are in their order."""

    topic: str
    partition: int
    offset: int
    key: str
    value: str
    id: str = ""
    type: str = ""


@dataclass
class Reading:
    """What the API said of an object when all was over."""

    kind: str
    id: str
    status: int


@dataclass
class History:
    seed: int = 0
    # the clients
    ops: list[Op] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    transcripts: list[Transcript] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    # the model
    model_calls: list[ModelCall] = field(default_factory=list)
    # the store
    threads: list[Json] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)
    executions: list[Json] = field(default_factory=list)
    slots: list[Json] = field(default_factory=list)
    files: list[Json] = field(default_factory=list)
    bytes_of: list[str] = field(default_factory=list)  # files whose bytes are stored
    # the broker that is there at the end
    feed: list[Record] = field(default_factory=list)
    dead: list[Record] = field(default_factory=list)
    lag: dict[str, int] = field(default_factory=dict)  # by group and topic
    # what was done to it all
    injected: list[str] = field(default_factory=list)  # records that nobody can read
    disturbed: list[tuple[float, float]] = field(default_factory=list)  # from, to: nobody could work
    brokers_lost: list[float] = field(default_factory=list)
    # what there is at the end
    ended_at: float = 0.0
    gateways: int = 1
    slot_lease_s: float = 15.0
    secrets: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # log lines
    leftovers: list[str] = field(default_factory=list)  # processes and folders that should be gone
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)  # by process: at first, at last

    def events_of(self, run_id: str) -> list[Record]:
        return [record for record in self.feed if record.id.rpartition(":")[0] == run_id]

    def disturbed_s(self, begin: float, end: float) -> float:
        """How much of that time nobody could work."""
        return sum(max(0.0, min(end, to) - max(begin, since)) for since, to in self.disturbed)

    def about(self, run_id: str) -> list[str]:
        """All that concerns one run, a line each."""
        picked: list[Any] = [op for op in self.ops if op.run_id == run_id]
        picked += [each for each in self.seen if each.run_id == run_id]
        picked += [each for each in self.transcripts if each.run_id == run_id]
        lines = [json.dumps({type(each).__name__: asdict(each)}, default=str) for each in picked]
        calls = {call["id"] for run in self.runs if run["_id"] == run_id for call in calls_of(run)}
        documents = [run for run in self.runs if run["_id"] == run_id]
        documents += [each for each in self.messages if each.get("run_id") == run_id]
        documents += [each for each in self.executions if each["_id"] in calls]
        return lines + [json.dumps(each, default=str) for each in documents]

    def write(self, path: Path) -> None:
        with path.open("w") as file:
            for name, value in vars(self).items():
                for each in value if isinstance(value, list) else [value]:
                    plain = asdict(each) if hasattr(each, "__dataclass_fields__") else each
                    file.write(json.dumps({name: plain}, default=str) + "\n")


def calls_of(run: Json) -> list[Json]:
    return [call for step in run["steps"] for call in step["calls"]]


def happened(run: Json, event: str) -> float | None:
    """When ``event`` happened to the run, the first time."""
    return next((each["at"] for each in run["events"] if each["type"] == f"thread.run.{event}"), None)
