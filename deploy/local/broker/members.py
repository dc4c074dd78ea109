"""One consumer in a group, and the two answers it may be waiting for."""

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from deploy.local.broker.errors import ErrorCode, Refused


class Joined(NamedTuple):
    generation: int
    protocol: str
    leader: str
    member_id: str
    members: list[tuple[str, bytes]]  # for the leader only


def _now_s() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Member:
    id: str
    client_id: str
    address: str
    session_s: float  # silent for longer, it is out
    rebalance_s: float  # the others wait this long for it to join again
    protocols: dict[str, bytes]  # ways to assign, best first, with what the leader needs to know
    assignment: bytes = b""
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[bytes] | None = None
    _seen_s: float = field(default_factory=_now_s)

    def seen(self) -> None:
        self._seen_s = _now_s()

    def is_silent(self) -> bool:
        # While it waits for our answer it cannot send a heartbeat.
        waits = self.is_joining() or (self.syncing is not None and not self.syncing.done())
        return not waits and _now_s() - self._seen_s > self.session_s

    def is_joining(self) -> bool:
        return self.joining is not None and not self.joining.done()

    def wait_to_join(self) -> asyncio.Future[Joined]:
        self.joining = asyncio.get_running_loop().create_future()
        return self.joining

    def wait_to_sync(self) -> asyncio.Future[bytes]:
        self.syncing = asyncio.get_running_loop().create_future()
        return self.syncing

    def admit(self, joined: Joined) -> None:
        self.seen()
        if self.joining is not None and not self.joining.done():
            self.joining.set_result(joined)

    def take(self, assignment: bytes) -> None:
        self.seen()
        self.assignment = assignment
        if self.syncing is not None and not self.syncing.done():
            self.syncing.set_result(assignment)

    def fail(self, code: ErrorCode) -> None:
        """Answer whatever it waits for with an error."""
        for waiting in (self.joining, self.syncing):
            if waiting is not None and not waiting.done():
                self.seen()
                waiting.set_exception(Refused(code))
