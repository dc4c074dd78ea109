"""A publisher that needs no broker: it keeps what would leave."""

import asyncio
from collections.abc import Sequence
from typing import Any

from shared.events import Frame
from shared.publisher import Publisher
from shared.runs.model import Json, Run, Slot


class RecordingPublisher(Publisher):
    """``frames`` are (seq, n, event, data), as sent to one stream; ``announced`` counts a run's events."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, str, Json]] = []
        self.announced = 0
        self.log: list[str] = []  # events and deltas in the order they left

    async def announce(self, run: Run) -> Run:
        for event in run.events[self.announced :]:
            self.log.append(event.type)
        self.announced = len(run.events)
        return run

    async def frame(self, run: Run, seq: int, n: int, event: str, data: dict[str, Any]) -> None:
        await asyncio.sleep(0)  # a broker takes its time; others may run meanwhile
        self.frames.append((seq, n, event, data))
        self.log.append(event)

    async def frame_to(self, slots: Sequence[Slot], frame: Frame) -> None:
        self.frames.append((frame.seq, frame.n, frame.event, frame.data))
