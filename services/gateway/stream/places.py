"""Where in a run's events a client is, as the ``id`` of a server-sent event says it.

``7`` is behind event 7. ``7;content.0.text.value=42`` is there too, and 42 characters into a text
that was being written. Deltas are not stored, so their place is told by what they added up to;
a client that comes back with the last id it saw gets the rest, neither less nor more.
"""

import re
from typing import NamedTuple

from services.gateway.stream.arithmetic import Sum, lengths, of_lengths
from services.gateway.stream.sums import MESSAGE_ENDS, STEP_ENDS
from shared.runs.model import Run

MOST_CHARACTERS = 4096
FORM = re.compile(r"(\d{1,9})((?:;[a-z_0-9.]+=\d{1,9})*)")


class Place(NamedTuple):
    seq: int
    known: Sum

    def __str__(self) -> str:
        return ";".join([str(self.seq), *(f"{path}={n}" for path, n in lengths(self.known).items())])


def place(text: str) -> Place:
    """
    Raises:
        ValueError: ``text`` is no place.

    >>> str(place("7;content.0.text.value=42"))
    '7;content.0.text.value=42'
    """
    found = FORM.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    if found is None:
        raise ValueError(f"no place in a run's events: {text[:80]!r}")
    parts = (part.partition("=") for part in found[2].split(";")[1:])
    return Place(int(found[1]), of_lengths({path: int(n) for path, _, n in parts}))


def open_at(run: Run, seq: int) -> tuple[str, bool]:
    """Return the id of the message or the step of calls that was open behind event ``seq``; whether calls."""
    steps = {step.id: step for step in run.steps}
    item, calls = "", False
    for event in run.events[:seq]:
        step = steps.get(event.step_id or "")
        if step is None:
            continue
        if event.type == "thread.message.created":
            item, calls = step.message_id or "", False
        elif event.type == "thread.run.step.created" and step.type == "tool_calls":
            item, calls = step.id, True
        elif event.type in MESSAGE_ENDS or (event.type in STEP_ENDS and calls):
            item, calls = "", False
    return item, calls
