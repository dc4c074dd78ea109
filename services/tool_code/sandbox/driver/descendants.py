"""Signals to the processes below this one, and provably to no other.

For kernels that draw no line around the sandbox: there a pid that ended a moment ago may already be a
process of the service, which runs as the same user.
"""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH123

import os
import signal


def send(pid: int, number: int) -> None:
    """Send one signal to a descendant.

    Raises:
        OSError: no such process, or none of ours.
    """
    fd = hold(pid)
    try:
        signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def hold(pid: int) -> int:
    """A descriptor that means this descendant for ever, whoever gets its pid later.

    Raises:
        OSError: no such process, or none of ours.
    """
    fd = os.pidfd_open(pid)
    road = _road(pid)
    # Found twice with the same start times, all of them were there in between, each below the next.
    if road and road == _road(pid):
        return fd
    os.close(fd)
    raise PermissionError(f"{pid} is no descendant")


def facts(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; none if the process is gone."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def read(path: str) -> str:
    """A file of /proc, or nothing if its process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _road(pid: int) -> list[tuple[int, str]]:
    """Each process from ``pid`` up to a child of this one, with its start time; empty if there is no way."""
    road: list[tuple[int, str]] = []
    while pid != os.getpid():
        found = facts(pid)
        if pid <= 1 or not found:
            return []
        road.append((pid, found[19]))
        pid = int(found[1])
    return road
