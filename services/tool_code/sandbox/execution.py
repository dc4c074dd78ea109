"""What came of one call, in the words that the API and the model need."""

from dataclasses import dataclass
from typing import Literal, get_args

Status = Literal["ok", "error", "exit", "timeout_interrupted", "timeout_killed", "worker_died"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Execution:
    """One finished call.

    ``logs`` is everything printed, the value of the last expression and the traceback, in order.
    ``notice`` tells the model what it cannot see in the logs: limits that were hit, and whether its
    variables are still there.
    """

    status: Status
    logs: str
    images: tuple[bytes, ...] = ()
    state_lost: bool = False
    notice: str | None = None
    error: str | None = None
    took_s: float = 0.0
    files: tuple[str, ...] = ()  # written by the call, relative to the working directory
    gone: tuple[str, ...] = ()


def known_status(claimed: object) -> Status | None:
    """The status that a sandbox claims, if there is such a one."""
    return next((status for status in STATUSES if status == claimed), None)


def describe(
    status: Status,
    *,
    timeout_s: float,
    state_lost: bool,
    session_lost: bool = False,
    limit: str | None = None,
    error: str | None = None,
    forks_refused: bool = False,
    images_dropped: int = 0,
) -> str | None:
    """The notice for the model, or nothing if the logs say it all."""
    parts = []
    if limit == "memory" and status != "worker_died":
        parts.append("A process was killed: it used more memory than the sandbox has.")
    if status == "timeout_interrupted":
        parts.append(f"The code was interrupted after its time limit of {timeout_s:g} s.")
    elif status == "timeout_killed":
        parts.append(f"The code was killed: it did not stop at its time limit of {timeout_s:g} s.")
    elif limit == "memory":
        parts.append("The code was killed: it used more memory than the sandbox has.")
    elif limit == "disk":
        parts.append("The code was killed: its files were larger than the sandbox's disk. They were deleted.")
    elif status == "worker_died":
        parts.append(f"The Python process ended unexpectedly ({error or 'unknown cause'}).")
    if forks_refused:
        parts.append("Some processes or threads could not be started: the sandbox's limit was reached.")
    if images_dropped:
        parts.append(f"{images_dropped} images were not kept: too many or too large.")
    if session_lost:
        parts.append("Variables, imports and files are lost.")
    elif state_lost:
        parts.append("Variables and imports are lost; files are kept.")
    elif status == "timeout_interrupted":
        parts.append("Variables and files are kept.")
    return " ".join(parts) or None
