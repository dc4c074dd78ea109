"""When a stream looks into the store, and when its client gets a sign of life. Times in seconds."""

from services.gateway.stream.pace import Pace
from services.gateway.stream.sequence import Hole


class Watch:
    def __init__(self, pace: Pace, now: float) -> None:
        self._pace = pace
        self._heard_at = now
        self._spoke_at = now
        self._read_at = float("-inf")
        self._hole: Hole | None = None
        self._hole_at = now

    def heard(self, now: float) -> None:
        """A frame came."""
        self._heard_at = now

    def spoke(self, now: float) -> None:
        """The client got something."""
        self._spoke_at = now

    def reads(self, now: float) -> None:
        self._read_at = now

    def sees(self, hole: Hole | None, now: float) -> None:
        if hole != self._hole:
            self._hole, self._hole_at = hole, now

    def read_at(self, *, live: bool, urgent: bool) -> float:
        """When to read the run; ``live``: Kafka is there, ``urgent``: nothing else can help."""
        pace = self._pace
        quiet_at = max(self._heard_at, self._read_at) + (pace.quiet_s if live else pace.away_s)
        again_at = self._read_at + pace.away_s
        if urgent:
            return min(quiet_at, again_at)
        if self._hole is None:
            return quiet_at
        missed_at = self._hole_at + pace.gap_s
        return min(quiet_at, missed_at if self._read_at < self._hole_at else max(missed_at, again_at))

    def in_vain(self, hole: Hole | None) -> bool:
        """Whether the last read was for ``hole``, or for all it knew could have been."""
        return hole is not None and hole == self._hole and self._read_at >= self._hole_at + self._pace.gap_s

    @property
    def ping_at(self) -> float:
        return self._spoke_at + self._pace.ping_s
