"""Memory of all processes of the sandbox together, where no cgroup counts it."""

import threading
import time

from services.tool_code.sandbox.driver import processes

CERTAIN_FACTOR = 4  # a rough sum this far over the limit needs no second look
PATIENCE_S = 1.0


class MemoryWatch:
    """Compares the family's memory with the limit, cheaply and without ever waiting.

    The rough sum counts a page once for each process that shares it, so a sum over the limit is looked at
    again, in proportion. That look waits for each process's memory lock, which a fork bomb can hold for
    seconds; so it happens in a thread, and no answer in time counts as guilty.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._audit: _Audit | None = None

    def exceeded(self) -> bool:
        """Whether the sandbox is over its limit, as far as is known now."""
        rough = processes.rough_memory()
        total = sum(rough.values())
        if total <= self._limit_bytes:
            self._audit = None
            return False
        if total > CERTAIN_FACTOR * self._limit_bytes:
            return True
        if self._audit is None:
            self._audit = _Audit(rough)
            return False
        if self._audit.total_bytes is None:
            return time.monotonic() > self._audit.deadline
        guilty = self._audit.total_bytes > self._limit_bytes
        self._audit = None
        return guilty


class _Audit:
    """One exact count, under way in a thread."""

    def __init__(self, rough: dict[int, int]) -> None:
        self.total_bytes: int | None = None
        self.deadline = time.monotonic() + PATIENCE_S
        self._rough = rough
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self.total_bytes = sum(processes.exact_memory(pid, rough) for pid, rough in self._rough.items())
