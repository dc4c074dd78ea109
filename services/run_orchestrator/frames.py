"""Deltas on their way to the streams that watch a run, merged where they come fast."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.events import Frame
from shared.publisher import Publisher
from shared.runs.model import Json, Run, Slot, Step

MERGE_S = 0.02
MERGE_CHARACTERS = 1024

# (text, is the first, its annotations) -> (event, object)
Wrap = Callable[[str, bool, Sequence[Json]], tuple[str, Json]]


@dataclass
class Target:
    """A text, the code or the arguments of one call; or a piece that is no text, whole from the begin."""

    wrap: Wrap
    pieces: list[str] = field(default_factory=list)
    annotations: list[Json] = field(default_factory=list)

    def whole(self) -> tuple[str, Json]:
        return self.wrap("".join(self.pieces), True, self.annotations)


class Deltas:
    """Sends what the model writes, at once if the last piece was ``MERGE_S`` ago, else a little later.

    One target at a time: the text of a message, the code or arguments of one call.
    ``flush`` before a state change, so that no delta overtakes one.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._run: Run | None = None
        self._late: list[Slot] = []  # of streams that came while this works; ``begin`` may not know them
        self._behind: list[Target] = []  # all that was written behind the event ``_seq``
        self._first = True
        self._pending: list[str] = []
        self._seq = 0
        self._n = 0
        self._last_s = 0.0
        self._timer: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def begin(self, run: Run, wrap: Wrap) -> None:
        """Send from now on for another target; ``run`` is as it was last saved."""
        await self.flush()
        self._follow(run)
        self._behind.append(Target(wrap))
        self._first = True

    async def send(self, event: str, data: Json) -> None:
        """Send a piece that is not text, to the same target."""
        await self.flush()
        async with self._lock:
            self._behind.insert(-1, Target(lambda _text, _first, _annotations: (event, data), [""]))
            await self._send(event, data)

    async def show(self, slot: Slot) -> None:
        """Send what is behind the last event to a stream that comes late, and all that follows."""
        async with self._lock:
            await self._flush()
            self._late.append(slot)
            if self._run is None:
                return
            run, self._run = self._run, heard_by(self._run, self._late)
            if run is self._run:
                return
            written = [each.whole() for each in self._behind if each.pieces]
            if not written:
                return
            self._first = self._first and not self._behind[-1].pieces
            self._n = max(self._n, 1)
            frame = Frame(
                run_id=run.id,
                epoch=run.epoch,
                seq=self._seq,
                n=self._n,
                event=written[0][0],
                data=together([data for _, data in written]),
                streams=(),
                whole=True,
            )
            await self._publisher.frame_to((slot,), frame)

    async def add(self, text: str, annotations: Sequence[Json] = ()) -> None:
        """Text with annotations goes by itself, as the annotations' places are told with it."""
        if self._run is None:
            return
        if annotations:
            await self._add_alone(text, annotations)
            return
        self._behind[-1].pieces.append(text)
        if not self._run.slots:
            return
        self._pending.append(text)
        wait_s = self._last_s + MERGE_S - asyncio.get_running_loop().time()
        if wait_s <= 0 or sum(map(len, self._pending)) >= MERGE_CHARACTERS:
            await self.flush()
        elif self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._flush_later(wait_s))

    async def _add_alone(self, text: str, annotations: Sequence[Json]) -> None:
        async with self._lock:
            await self._flush()
            self._behind[-1].pieces.append(text)
            self._behind[-1].annotations += annotations
            await self._send_text(text, annotations)

    async def flush(self) -> None:
        async with self._lock:
            await self._flush()

    async def _flush(self) -> None:
        if self._run is None or not self._pending:
            return
        text, self._pending = "".join(self._pending), []
        await self._send_text(text)

    async def _send_text(self, text: str, annotations: Sequence[Json] = ()) -> None:
        event, data = self._behind[-1].wrap(text, self._first, annotations)
        self._first = False
        self._last_s = asyncio.get_running_loop().time()
        await self._send(event, data)

    async def _send(self, event: str, data: Json) -> None:
        if self._run is not None and self._run.slots:
            self._n += 1
            await self._publisher.frame(self._run, self._seq, self._n, event, data)

    def _follow(self, run: Run) -> None:
        if self._seq != len(run.events):
            self._seq, self._n, self._behind = len(run.events), 0, []
        self._run = heard_by(run, self._late)

    async def _flush_later(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        await self.flush()

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)


def heard_by(run: Run, slots: Sequence[Slot]) -> Run:
    """Return the run with those of ``slots`` that it does not have; the same if it has them all."""
    known = {slot.stream for slot in run.slots}
    new = tuple(slot for slot in slots if slot.stream not in known)
    return run.evolve(slots=(*run.slots, *new)) if new else run


def together(deltas: Sequence[Json]) -> Json:
    """One delta of an item in place of several, each of other parts of it."""
    delta = deltas[0]["delta"]
    if "content" in delta:
        content = [part for each in deltas for part in each["delta"]["content"]]
        return {**deltas[0], "delta": {"content": content}}
    calls = [call for each in deltas for call in each["delta"]["step_details"]["tool_calls"]]
    return {**deltas[0], "delta": {"step_details": {"type": "tool_calls", "tool_calls": calls}}}


def image_delta(step: Step, index: int, image: Json) -> tuple[str, Json]:
    delta = {"content": [{"index": index, **image}]}
    return "thread.message.delta", {
        "id": step.message_id,
        "object": "thread.message.delta",
        "delta": delta,
    }


def message_delta(step: Step, index: int = 0) -> Wrap:
    """``index`` is the place of the text among the parts of the message."""

    def wrap(text: str, first: bool, annotations: Sequence[Json]) -> tuple[str, Json]:
        told = {"annotations": list(annotations)} if first or annotations else {}
        value: Json = {"value": text, **told}
        content = [{"index": index, "type": "text", "text": value}]
        data = {"id": step.message_id, "object": "thread.message.delta", "delta": {"content": content}}
        return "thread.message.delta", data

    return wrap


def call_delta(
    step: Step, index: int, call_id: str, name: str, kind: str, ranking: Json | None = None
) -> Wrap:
    """The id and the name go out once: readers add strings up. ``ranking`` is a search's."""

    def wrap(text: str, first: bool, annotations: Sequence[Json]) -> tuple[str, Json]:
        detail: Json
        if kind == "file_search":
            detail = {"ranking_options": ranking, "results": []} if first else {}
        elif kind == "code_interpreter":
            detail = {"input": text, "outputs": []} if first else {"input": text}
        else:
            detail = {"name": name, "arguments": text, "output": None} if first else {"arguments": text}
        opening: Json = {"index": index, "id": call_id} if first else {"index": index}
        call: Json = {**opening, "type": kind, kind: detail}
        details = {"type": "tool_calls", "tool_calls": [call]}
        data = {"id": step.id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        return "thread.run.step.delta", data

    return wrap
