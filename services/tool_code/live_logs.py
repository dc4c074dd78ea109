"""What code prints, on its way to the streams that watch: a little at a time, while the code runs."""

import asyncio

from shared.events import CodeRequested, Frame
from shared.publisher import Publisher
from shared.runs.model import Json

MERGE_S = 0.05
DELTA = "thread.run.step.delta"


class LiveLogs:
    """Frames may be lost, or come too late: the step's end tells what is missing. Nothing waits for them."""

    def __init__(self, publisher: Publisher, request: CodeRequested, attempt: int) -> None:
        self._publisher = publisher
        self._request = request
        self._attempt = attempt
        self._pending: list[str] = []
        self._n = 0
        self._sending: asyncio.Task[None] | None = None

    def add(self, text: str) -> None:
        """Take what was printed. Does not block."""
        if not self._request.slots:
            return
        self._pending.append(text)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_later())

    async def close(self) -> None:
        """The code has ended; what was not sent is told with the result."""
        if self._sending:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send_later(self) -> None:
        while self._pending:
            await asyncio.sleep(MERGE_S)  # first, so that a short call costs no frame of its own
            text, self._pending = "".join(self._pending), []
            self._n += 1
            await self._publisher.frame_to(self._request.slots, self._frame(text))

    def _frame(self, text: str) -> Frame:
        request = self._request
        outputs = [{"index": 0, "type": "logs", "logs": text}]
        call: Json = {"index": request.index, "type": "code_interpreter"}
        details = {"type": "tool_calls", "tool_calls": [call | {"code_interpreter": {"outputs": outputs}}]}
        return Frame(
            run_id=request.run_id,
            epoch=self._attempt,
            seq=0,
            n=self._n,
            event=DELTA,
            data={"id": request.step_id, "object": DELTA, "delta": {"step_details": details}},
            streams=(),
            source=request.call_id,
        )
