"""What can happen to a run. A fact carries its own time (Unix seconds): the rules read no clock.

A fact with an ``epoch`` comes from the run's owner, and counts only while it is the owner.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from shared.runs.model import ErrorCode, Json, ToolCall, Usage


@dataclass(frozen=True)
class Claimed:
    """A replica takes the run, to work on it for at least ``lease_s`` seconds.

    ``call_s``: for how long one tool call may run where this replica works.
    """

    owner: str
    now: float
    lease_s: float
    call_s: float = 0.0


@dataclass(frozen=True)
class Released:
    """The owner stops before it is done, and leaves the run to another replica."""

    epoch: int
    now: float


@dataclass(frozen=True)
class Restarted:
    """The owner asks the model again: what was written of this turn so far does not count."""

    epoch: int
    now: float


@dataclass(frozen=True)
class MessageStarted:
    epoch: int
    now: float


@dataclass(frozen=True)
class CallsStarted:
    """The model began to write tool calls; ``content`` is the text before them, if there was any."""

    epoch: int
    now: float
    content: tuple[Json, ...] = ()


@dataclass(frozen=True)
class CallsMade:
    """The reply ended with tool calls. Their ids are in the store before anyone executes them."""

    epoch: int
    now: float
    calls: tuple[ToolCall, ...]
    usage: Usage


@dataclass(frozen=True)
class Answered:
    """The reply ended without tool calls, or was cut by a limit (``incomplete_reason``)."""

    epoch: int
    now: float
    content: tuple[Json, ...]
    usage: Usage
    incomplete_reason: str | None = None


@dataclass(frozen=True)
class Failed:
    epoch: int
    now: float
    code: ErrorCode
    message: str
    content: tuple[Json, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Stopped:
    """The owner noticed the cancellation, and has let go of the model."""

    epoch: int
    now: float
    content: tuple[Json, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class ToolAnswered:
    call_id: str
    output: str
    now: float
    outputs: tuple[Json, ...] = ()
    files: tuple[Json, ...] = ()
    results: tuple[Json, ...] = ()


@dataclass(frozen=True)
class OutputsSubmitted:
    """The client answered every function call: call id -> output."""

    outputs: dict[str, str]
    now: float


@dataclass(frozen=True)
class Rung:
    """The open tool requests are sent once more; after many times they are given up."""

    now: float


@dataclass(frozen=True)
class CancelRequested:
    now: float


@dataclass(frozen=True)
class Expired:
    """``content`` and ``usage`` are what its owner knows of the reply that was cut short."""

    now: float
    content: tuple[Json, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class GivenUp:
    """Whatever is tried with the run fails, each time, and not for a reason that passes."""

    now: float


@dataclass(frozen=True)
class Settled:
    """Everything that must be visible before the end is visible."""

    now: float


Fact: TypeAlias = (
    Claimed
    | Released
    | Restarted
    | MessageStarted
    | CallsStarted
    | CallsMade
    | Answered
    | Failed
    | Stopped
    | ToolAnswered
    | OutputsSubmitted
    | Rung
    | CancelRequested
    | Expired
    | GivenUp
    | Settled
)
