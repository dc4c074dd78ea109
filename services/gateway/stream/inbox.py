"""The bounded queue between the Kafka loop and one client, who may be slow."""

import asyncio
from collections import deque

from services.gateway.stream.frames import Arrived
from shared.runs.model import Json

MAX_FRAMES = 1_000
MAX_BYTES = 1024 * 1024
MERGED_CHARACTERS = 16_384  # so that merging stays cheap
ENVELOPE_BYTES = 200  # of a delta's record that merging saves, at least

TEXT_DELTA = "thread.message.delta"


class Inbox:
    """Merges text above half; when full, drops deltas and says so: the stream is then made whole
    from the store. Putting never blocks.
    """

    def __init__(self, *, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self.wake = asyncio.Event()
        self.overflowed = False
        self.closed = False
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[tuple[Arrived, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Arrived, size: int) -> None:
        """Queue a frame whose record has ``size`` bytes."""
        self._append(frame, size, merge=self._fills(0.5))
        if self._fills(1.0):
            self._merge_all()
        if self._fills(1.0):
            self._drop()
        self.wake.set()

    def pop(self) -> Arrived | None:
        if not self._frames:
            return None
        frame, size = self._frames.popleft()
        self._bytes -= size
        return frame

    def close(self) -> None:
        self.closed = True
        self._frames.clear()
        self.wake.set()

    async def wait(self, seconds: float) -> None:
        """Return when there may be something to do, at the latest after ``seconds``."""
        if seconds <= 0 or self.wake.is_set():
            self.wake.clear()
            return
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()

    def _fills(self, part: float) -> bool:
        return len(self._frames) >= part * self._max_frames or self._bytes >= part * self._max_bytes

    def _append(self, frame: Arrived, size: int, *, merge: bool) -> None:
        if merge and self._frames:
            last, last_size = self._frames[-1]
            if (both := merged(last, frame)) is not None:
                self._frames[-1] = (both, last_size + size - ENVELOPE_BYTES)
                self._bytes += size - ENVELOPE_BYTES
                return
        self._frames.append((frame, size))
        self._bytes += size

    def _merge_all(self) -> None:
        frames, self._frames, self._bytes = self._frames, deque(), 0
        for frame, size in frames:
            self._append(frame, size, merge=True)

    def _drop(self) -> None:
        self.overflowed = True
        kept = [(frame, size) for frame, size in self._frames if frame.n == 0]
        self._frames, self._bytes = deque(kept), sum(size for _, size in kept)
        if self._fills(0.5):  # the store has the events too
            self._frames.clear()
            self._bytes = 0


def merged(first: Arrived, second: Arrived) -> Arrived | None:
    """Return both as one delta, or None unless they are neighbours in the same text."""
    if (first.run_id, first.epoch, first.seq, first.upto + 1) != (
        second.run_id,
        second.epoch,
        second.seq,
        second.n,
    ):
        return None
    head, tail = _text_entry(first), _text_entry(second)
    if head is None or tail is None or head["index"] != tail["index"] or "annotations" in tail["text"]:
        return None
    value = head["text"]["value"] + tail["text"]["value"]
    if len(value) > MERGED_CHARACTERS:
        return None
    content = [{**head, "text": {**head["text"], "value": value}}]
    data = {**first.data, "delta": {**first.data["delta"], "content": content}}
    return first._replace(upto=second.upto, data=data)


def _text_entry(frame: Arrived) -> Json | None:
    """The only entry of a text delta; None for any other delta."""
    if frame.event != TEXT_DELTA:
        return None
    match frame.data:
        case {"delta": {"content": [{"index": int(), "type": "text", "text": {"value": str()}} as entry]}}:
            return dict(entry)
    return None
