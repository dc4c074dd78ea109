"""The time that leases, deadlines and expiry go by: the store's, since each process judges those of others.

By its own clock, one that is hours off would take over what others work on, or end it as expired.
"""

import time

IGNORED_S = 1.0  # so much may clocks differ; within a machine they do not

_ahead_s: float | None = None  # of the monotonic clock; None: no store has said what time it is


def now() -> float:
    """Return Unix seconds. Once the store was heard, no step of this machine's clock shows."""
    return time.time() if _ahead_s is None else time.monotonic() + _ahead_s


def agree(store_s: float, asked_s: float, answered_s: float) -> float:
    """Go by a store whose time was ``store_s`` between two moments of the monotonic clock.

    Returns by how many seconds it was ahead of what ``now`` said; 0.0 if that may be the way's fault.
    """
    global _ahead_s
    ahead_s = time.time() - time.monotonic() if _ahead_s is None else _ahead_s
    off_s = store_s - ((asked_s + answered_s) / 2 + ahead_s)
    if abs(off_s) <= IGNORED_S + (answered_s - asked_s) / 2:
        off_s = 0.0
    _ahead_s = ahead_s + off_s
    return off_s


def forget() -> None:
    """Go by this machine's clock again."""
    global _ahead_s
    _ahead_s = None
