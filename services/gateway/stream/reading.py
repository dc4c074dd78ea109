"""One read of a run at a time, beside its stream: a slow store does not hold frames back."""

import asyncio
import logging

from shared import clock
from shared.errors import NotFound, Unavailable
from shared.runs.model import Run
from shared.stores.database import PyMongoError
from shared.stores.runs import RunStore

log = logging.getLogger(__name__)


class Reading:
    """``wake`` is set when a read ends. A failed one is repeated when the stream asks again."""

    def __init__(self, runs: RunStore, run: Run, wake: asyncio.Event, *, patience_s: float) -> None:
        self._runs = runs
        self._run = run
        self._wake = wake
        self._give_up_at = run.expires_at + patience_s
        self._task: asyncio.Task[Run | None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        assert self._task is None, "one read at a time"
        self._task = asyncio.create_task(self._read())
        self._task.add_done_callback(lambda _: self._wake.set())

    def result(self) -> Run | None:
        """Return the run if a read has just ended and found it.

        Raises:
            NotFound: the run was deleted.
            Unavailable: the store is away, and the run should have ended long ago.
        """
        if self._task is None or not self._task.done():
            return None
        task, self._task = self._task, None
        run = task.result()
        if run is None and clock.now() > self._give_up_at:
            raise Unavailable("The run cannot be followed: the store is away.")
        return run

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _read(self) -> Run | None:
        try:
            run = await self._runs.get(self._run.id)
        except PyMongoError as error:
            log.warning("a stream cannot read its run; it tries again", exc_info=error)
            return None
        if run is None:
            raise NotFound(f"No run found with id '{self._run.id}'.")
        return run
