"""Every interval that the streams keep, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    gap_s: float = 0.3  # a missing frame may still come for this long
    away_s: float = 1.0  # between looks into the store while Kafka is away
    quiet_s: float = 5.0  # the same while Kafka is there: a lost last frame must not hang a stream
    ping_s: float = 15.0  # silence until the client gets a sign of life
    patience_s: float = 60.0  # past a run's expiry, until an unreachable store ends its stream

    lease_s: float = 15.0
    renew_s: float = 5.0
    start_s: float = 3.0  # how long the gateway's start waits for Kafka
    probe_s: float = 1.0  # between questions to a silent broker whether it is there
    probes: int = 5  # unanswered in a row, until the consumer is built anew
