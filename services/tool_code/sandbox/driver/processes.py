"""The processes of one sandbox: how many, how much memory, and away with the strays."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH116, PTH208

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

from services.tool_code.sandbox.driver import descendants

SWEEP_ROUNDS = 50
SWEEP_PAUSE_S = 0.002

_border = True


def expect_no_border() -> None:
    """No process namespace and no Landlock signal scope ends here: signal none but descendants."""
    global _border
    _border = False


def send(pid: int, number: int) -> None:
    """Signal one process of the sandbox.

    Raises:
        OSError: it is gone.
    """
    if _border:
        os.kill(pid, number)
    else:
        descendants.send(pid, number)


def family() -> list[int]:
    """All live descendants of this process (zombies left out)."""
    if os.getpid() == 1:  # everything in our process namespace is ours
        everybody = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return [pid for pid in everybody if pid != 1 and _lives(pid)]
    found: list[int] = []
    unseen = [os.getpid()]
    while unseen:
        for child in _children(unseen.pop()):
            unseen.append(child)
            if _lives(child):
                found.append(child)
    return found


def tasks() -> int:
    """Processes and threads of the family together, as the kernel counts them."""
    return sum(_threads(pid) for pid in family())


def rough_memory() -> dict[int, int]:
    """Bytes of each process's own pages; those shared after a fork are counted for each of them."""
    return {pid: _status_bytes(pid) for pid in family()}


def exact_memory(pid: int, rough: int) -> int:
    """A process's share of its pages; may block while the process changes its memory map."""
    wanted = ("Pss_Anon:", "Pss_Shmem:")
    lines = descendants.read(f"/proc/{pid}/smaps_rollup").splitlines()
    amounts = [int(line.split()[1]) << 10 for line in lines if line.startswith(wanted)]
    return sum(amounts) if amounts else rough


def hidden_file_bytes() -> int:
    """Disk blocks of deleted files that the family still holds open."""
    found: dict[tuple[int, int], int] = {}
    for pid in family():
        with suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    entry = os.stat(f"/proc/{pid}/fd/{fd}")
                    if stat.S_ISREG(entry.st_mode) and entry.st_nlink == 0:
                        found[entry.st_dev, entry.st_ino] = entry.st_blocks * 512
    return sum(found.values())


def freeze() -> None:
    """Stop every process of the sandbox but this one."""
    _send_to_all(signal.SIGSTOP)


def kill_all() -> None:
    """Kill every process of the sandbox but this one, until none is left."""
    for _ in range(SWEEP_ROUNDS):
        freeze()  # what stands still cannot fork away from the kill
        _send_to_all(signal.SIGKILL)
        reap()
        if not family():
            return
        time.sleep(SWEEP_PAUSE_S)


def sweep(keep: int) -> int:
    """Freeze the sandbox and kill all but this process and ``keep``, which stays frozen.

    Returns how many were killed.
    """
    freeze()
    killed: set[int] = set()
    for _ in range(SWEEP_ROUNDS):
        strays = [pid for pid in family() if pid != keep]
        if not strays:
            break
        for pid in strays:
            with suppress(OSError):
                send(pid, signal.SIGKILL)
        killed.update(strays)
        reap(keep)
        time.sleep(SWEEP_PAUSE_S)
    return len(killed)


def reap(keep: int | None = None) -> int | None:
    """Collect ended children; the wait status of ``keep`` if it was among them."""
    ended = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == keep:
                ended = status
    return ended


def cause(status: int | None) -> str:
    """What ended a process, in words."""
    if status is None:
        return "it broke the protocol"
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"


def group(pid: int) -> int:
    """Its process group; 0 if it is gone."""
    fields = descendants.facts(pid)
    return int(fields[2]) if fields else 0


def _send_to_all(number: int) -> None:
    if _border:
        with suppress(OSError):
            os.kill(-1, number)
        return
    # One by one; what forks meanwhile needs our leave, so nobody runs ahead of this for long.
    reached: set[int] = set()
    for _ in range(SWEEP_ROUNDS):
        unreached = set(family()) - reached
        if not unreached:
            return
        for pid in unreached:
            with suppress(OSError):
                descendants.send(pid, number)
        reached |= unreached


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in descendants.read(f"/proc/{pid}/task/{thread}/children").split():
                yield int(child)


def _lives(pid: int) -> bool:
    state = descendants.facts(pid)
    return bool(state) and state[0] not in "ZX"


def _threads(pid: int) -> int:
    fields = descendants.facts(pid)
    return int(fields[17]) if fields else 0


def _status_bytes(pid: int) -> int:
    wanted = ("RssAnon:", "RssShmem:")
    lines = descendants.read(f"/proc/{pid}/status").splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(wanted))
