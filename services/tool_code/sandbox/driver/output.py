"""What a call prints, cut in the middle if it is long."""

from collections.abc import Callable

Emit = Callable[[dict[str, object], bytes], None]


class Output:
    """Passes the first ``head`` bytes on at once, keeps the last ``tail`` and counts what falls between."""

    def __init__(self, head: int, tail: int, emit: Emit) -> None:
        self._room = head
        self._tail_bytes = tail
        self._emit = emit
        self._tail = bytearray()
        self._skipped = 0

    def add(self, data: bytes) -> None:
        """More output."""
        if self._room:
            now, data = data[: self._room], data[self._room :]
            self._room -= len(now)
            self._emit({"event": "output"}, now)
        self._tail += data
        if len(self._tail) > 2 * self._tail_bytes:  # cut rarely: each cut copies the tail
            self._cut()

    def finish(self) -> None:
        """The call is over: send the tail."""
        self._cut()
        if self._tail:
            self._emit({"event": "output", "skipped": self._skipped}, bytes(self._tail))

    def _cut(self) -> None:
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            del self._tail[:excess]
            self._skipped += excess
