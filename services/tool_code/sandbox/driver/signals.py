"""The worker's signals where the kernel draws no line around the sandbox: Landlock before ABI 6.

Every process of the service's user is one kill(2) away then. So seccomp stops each call that names a
process and asks here. What a process sends to itself goes on; for the rest the supervisor sends the signal
in its place, and to its own descendants only.
"""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.

import os
import platform
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from services.tool_code.sandbox.driver import descendants, processes, seccomp

EPERM, ESRCH, EINVAL = 1, 3, 22
LAST_SIGNAL = 64
CALLS = {
    numbers[0 if platform.machine() == "x86_64" else 1]: name for name, numbers in seccomp.SIGNALS.items()
}


@dataclass(frozen=True)
class Verdict:
    """What becomes of one call; ``targets`` are process descriptors, closed by ``deliver``."""

    error: int = 0
    go_on: bool = False  # the kernel does it: the target is the caller, who waits and cannot have ended
    number: int = 0
    targets: list[int] = field(default_factory=list)

    def deliver(self, *, heard: bool) -> None:
        """Send the signal, unless the caller was disturbed before it ``heard``: it will ask again.

        After the answer, since a signal that hits the waiting caller would make it ask twice.
        """
        for fd in self.targets:
            if heard:
                with suppress(OSError):  # ended by itself
                    signal.pidfd_send_signal(fd, self.number)
            os.close(fd)


def judge(call: str, thread: int, arguments: tuple[int, ...]) -> Verdict:
    """Decide on kill, tkill or tgkill; ``thread`` is the caller's."""
    caller = _process(thread)
    target = _signed(arguments[0])
    if call == "tkill":  # a thread's number may pass to another process: the caller's own cannot
        return Verdict(go_on=True) if target == thread else Verdict(EPERM)
    if target == caller:  # the kernel itself checks that the thread of a tgkill belongs to it
        return Verdict(go_on=True)
    if call == "tgkill":
        return Verdict(EPERM)
    number = _signed(arguments[1])
    if not 0 <= number <= LAST_SIGNAL:
        return Verdict(EINVAL)
    if target > 0:
        try:
            return Verdict(number=number, targets=[descendants.hold(target)])
        except OSError as error:
            return Verdict(error.errno or EPERM)
    return _several(caller, target, number)


def _several(caller: int, target: int, number: int) -> Verdict:
    """-1 is everybody but the caller; any other negative number a group. Strangers are left out."""
    held: list[int] = []
    for pid in processes.family():
        if pid != caller if target == -1 else processes.group(pid) == -target:
            with suppress(OSError):
                held.append(descendants.hold(pid))
    return Verdict(number=number, targets=held) if held else Verdict(EPERM if target != -1 else ESRCH)


def _process(thread: int) -> int:
    """The process of a thread that waits for our answer; 0 if it has been killed meanwhile."""
    for line in descendants.read(f"/proc/{thread}/status").splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    return 0


def _signed(argument: int) -> int:
    """The int that the kernel makes of a register."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low
