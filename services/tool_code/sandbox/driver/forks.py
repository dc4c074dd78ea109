"""What seccomp asks the supervisor: forks, and on old kernels signals.

A cap on processes where no kernel counter belongs to the sandbox alone.

RLIMIT_NPROC counts all processes of a user, the service's own among them. So seccomp stops every fork
and asks here, and a fork is granted only while the sandbox has fewer tasks than allowed.
"""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Callable

from services.tool_code.sandbox.driver import signals

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, thread, flags; call, machine, instruction, arguments
ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
RECEIVE = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
SEND = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
CONTINUE = 1
EAGAIN = 11


class ForkGate:
    """Answers the worker's forks and signals; ``count`` says how many tasks there are now."""

    def __init__(self, fd: int, limit: int, count: Callable[[], int]) -> None:
        self.fd = fd
        self.refused = 0
        self._limit = limit
        self._count = count
        self._at_most = limit  # tasks counted last, and the forks granted since

    def answer(self) -> None:
        """Answer the one call that made the descriptor readable."""
        request = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(self.fd, RECEIVE, request)
        except OSError:
            return  # the process died while it waited
        identity, thread, _, number, _, _, *arguments = NOTIFICATION.unpack(request)
        if number in signals.CALLS:
            verdict = signals.judge(signals.CALLS[number], thread, tuple(arguments))
            verdict.deliver(heard=self._reply(identity, verdict.error, go_on=verdict.go_on))
        elif self._may_fork():
            self._reply(identity, go_on=True)
        else:
            self._reply(identity, EAGAIN)

    def _may_fork(self) -> bool:
        if self._at_most >= self._limit:
            self._at_most = self._count()
        if self._at_most < self._limit:
            self._at_most += 1
            return True
        self.refused += 1
        return False

    def _reply(self, identity: int, error: int = 0, *, go_on: bool = False) -> bool:
        """Whether the caller was still there to hear it."""
        reply = ANSWER.pack(identity, 0, -error, CONTINUE if go_on else 0)
        try:
            fcntl.ioctl(self.fd, SEND, bytearray(reply))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """No more answers: every later fork of this worker's family fails."""
        os.close(self.fd)


def hand_over(channel: socket.socket, fd: int) -> None:
    """Give the descriptor to the supervisor and keep no copy, or the worker could answer itself."""
    channel.sendmsg([b"g"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)


def take_over(channel: socket.socket) -> int:
    """The descriptor that ``hand_over`` sent, read before anything else on the channel.

    Raises:
        OSError: the worker ended before it sent one.
    """
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return int(array.array("i", data[:4])[0])
    raise OSError("the worker sent no descriptor")
