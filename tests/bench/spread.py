"""Numbers that a series comes down to."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Self


@dataclass(frozen=True)
class Spread:
    """Latencies, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, latencies_s: Sequence[float]) -> Self:
        return cls(median(latencies_s) * 1000, quantiles(latencies_s, n=20)[-1] * 1000)

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p95:.1f}"


@dataclass(frozen=True)
class Load:
    """What one series took, and what each operation in it cost every process."""

    latency: Spread
    per_s: float
    cpu_ms: dict[str, float]
    commands: dict[str, float]  # to the store
