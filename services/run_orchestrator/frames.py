"""Deltas on their way to the streams that watch a run, merged where they come fast."""

import asyncio
from collections.abc import Callable, Sequence

from shared.publisher import Publisher
from shared.runs.model import Json, Run, Step

MERGE_S = 0.02
MERGE_CHARACTERS = 1024

# (text, is the first, its annotations) -> (event, object)
Wrap = Callable[[str, bool, Sequence[Json]], tuple[str, Json]]


class Deltas:
    """Sends what the model writes, at once if the last piece was ``MERGE_S`` ago, else a little later.

    One target at a time: the text of a message, the code or arguments of one call.
    ``flush`` before a state change, so that no delta overtakes one.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._run: Run | None = None
        self._wrap: Wrap | None = None
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
        self._run = run if run.slots else None
        self._wrap, self._first = wrap, True

    async def send(self, event: str, data: Json) -> None:
        """Send a piece that is not text, to the same target."""
        await self.flush()
        async with self._lock:
            if self._run is not None:
                await self._send(self._run, event, data)

    async def add(self, text: str, annotations: Sequence[Json] = ()) -> None:
        """Text with annotations goes by itself, as the annotations' places are told with it."""
        if self._run is None:
            return
        if annotations:
            await self.flush()
            async with self._lock:
                await self._send_text(text, annotations)
            return
        self._pending.append(text)
        wait_s = self._last_s + MERGE_S - asyncio.get_running_loop().time()
        if wait_s <= 0 or sum(map(len, self._pending)) >= MERGE_CHARACTERS:
            await self.flush()
        elif self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._flush_later(wait_s))

    async def flush(self) -> None:
        async with self._lock:
            if self._pending:
                text, self._pending = "".join(self._pending), []
                await self._send_text(text)

    async def _send_text(self, text: str, annotations: Sequence[Json] = ()) -> None:
        if self._run is None or self._wrap is None:
            return
        event, data = self._wrap(text, self._first, annotations)
        self._first = False
        self._last_s = asyncio.get_running_loop().time()
        await self._send(self._run, event, data)

    async def _send(self, run: Run, event: str, data: Json) -> None:
        if self._seq != len(run.events):
            self._seq, self._n = len(run.events), 0
        self._n += 1
        await self._publisher.frame(run, self._seq, self._n, event, data)

    async def _flush_later(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        await self.flush()

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)


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
