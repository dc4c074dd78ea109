"""The process that runs the code. Nothing it holds or says is trusted by the supervisor."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH123

import io
import os
import platform
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from services.tool_code.sandbox.driver import forks, frames, kernel, processes, seccomp, standard_folder
from services.tool_code.sandbox.driver.policy import Policy
from services.tool_code.sandbox.driver.shell import CodeShell, run_cell

OUTPUT_FD, CONTROL_FD = 200, 201  # out of the way of what the code opens
MAX_REQUEST_BYTES = 16 << 20
ADDRESS_SPACE_SLACK_BYTES = 3 << 30  # libraries, thread stacks and shared maps: reserved, seldom used
PENDING_SIGNALS = 256
NICENESS = 5
RESET_SIGNALS = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGQUIT,
)


def run(policy: Policy, shell: CodeShell, control: socket.socket, output_fd: int) -> NoReturn:
    """Serve calls until the supervisor is gone; never returns into the supervisor's code."""
    try:
        _settle(policy, control, output_fd)
        standard_folder.install(policy.data_dir)
        _Worker(policy, shell).serve()
    except EOFError:
        os._exit(0)
    except BaseException as error:
        frames.write(2, f"worker: {type(error).__name__}: {error}\n".encode())
    os._exit(70)


def _settle(policy: Policy, control: socket.socket, output_fd: int) -> None:
    """Own streams, then the limits, then the walls: each step needs what the next one forbids."""
    kernel.die_with_parent()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # the supervisor must be able to look in
    os.setsid()
    for number in RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.dup2(output_fd, OUTPUT_FD, inheritable=False)
    os.dup2(control.fileno(), CONTROL_FD, inheritable=False)
    control.detach()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(OUTPUT_FD, 1)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if the machine runs out of memory, this goes first
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    os.chdir(policy.data_dir)
    sys.path.insert(0, "")
    _limit(policy)
    _wall(policy)
    os.dup2(OUTPUT_FD, 2)
    os.closerange(3, OUTPUT_FD)
    os.closerange(CONTROL_FD + 1, policy.open_files)


def _limit(policy: Policy) -> None:
    kernel.limit(resource.RLIMIT_CORE, 0)
    kernel.limit(resource.RLIMIT_DATA, policy.memory_bytes)  # one process too big: MemoryError, not a kill
    kernel.limit(resource.RLIMIT_AS, policy.memory_bytes + ADDRESS_SPACE_SLACK_BYTES)
    kernel.limit(resource.RLIMIT_FSIZE, policy.disk_bytes)
    kernel.limit(resource.RLIMIT_NOFILE, policy.open_files)
    kernel.limit(resource.RLIMIT_CPU, policy.cpu_s)
    kernel.limit(resource.RLIMIT_SIGPENDING, PENDING_SIGNALS)
    kernel.limit(resource.RLIMIT_MSGQUEUE, 0)
    if policy.process_cap == "rlimit":
        kernel.limit(resource.RLIMIT_NPROC, policy.processes + 1)  # the supervisor counts, too


def _wall(policy: Policy) -> None:
    ask_signals, truncate = False, True
    if policy.readable is not None:
        # Imported here: where there is no need for Landlock, landlockpy need not be installed.
        from services.tool_code.sandbox.driver import domain

        # A domain inside the supervisor's: its signals do not reach the supervisor.
        folders = (policy.data_dir, policy.home_dir)
        domain.enter(policy.readable, folders, processes=False, abi=policy.abi)
        ask_signals = policy.abi < domain.SCOPES_SIGNALS
        truncate = policy.abi >= domain.JUDGES_TRUNCATE
    ask = policy.process_cap == "notify"
    alone = policy.readable is not None
    code = seccomp.build(
        platform.machine(),
        sockets=not alone,
        owner=alone,
        ask_forks=ask,
        ask_signals=ask_signals,
        truncate=truncate,
    )
    listener = seccomp.install(code, listen=ask)
    if listener is not None:
        channel = socket.socket(fileno=os.dup(CONTROL_FD))
        forks.hand_over(channel, listener)
        channel.close()


class _ErrorStream(io.TextIOWrapper):
    """Standard error that lets what was printed before it go first."""

    def write(self, text: str) -> int:
        with suppress(Exception):
            sys.stdout.flush()
        return super().write(text)


@dataclass
class _Worker:
    policy: Policy
    shell: CodeShell

    def serve(self) -> NoReturn:
        """Read requests and answer each with one "done"."""
        self.shell.show_image = self._show_image
        self._tell({"event": "up"})
        reader = frames.FrameReader(CONTROL_FD, MAX_REQUEST_BYTES)
        while True:
            self._ignore_interrupts()
            reader.feed()
            for _, payload in reader.frames():
                self._call(frames.parse(payload))

    def _call(self, request: dict[str, Any]) -> None:
        worker = os.getpid()
        processes.reap()  # swept while we were frozen; until collected they count as processes
        _fresh_streams()
        status, error = "ok", None
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                status, error = run_cell(self.shell, request["code"])
                with suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
            finally:
                self._ignore_interrupts()
        except KeyboardInterrupt:
            status = "interrupted"
        except SystemExit:
            status = "exit"
        if os.getpid() != worker:  # a fork whose code came to its end: the answer is not its to give
            os._exit(0 if status == "ok" else 1)
        self._tell({"event": "done", "id": request["id"], "status": status, "error": error})

    @staticmethod
    def _ignore_interrupts() -> None:
        """Take SIGINT back from the code: one that comes late must not end the worker."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _show_image(self, kind: str, image: bytes) -> None:
        if len(image) > self.policy.max_image_bytes:
            sys.stderr.write(f"[an image of {len(image)} bytes is too large to be shown]\n")
            return
        self._tell({"event": "image", "kind": kind}, image)

    @staticmethod
    def _tell(message: dict[str, Any], blob: bytes | None = None) -> None:
        frames.write(CONTROL_FD, frames.pack(message, blob))


def _fresh_streams() -> None:
    """New standard streams for each call: the last one may have closed or replaced them."""
    os.dup2(OUTPUT_FD, 1)
    os.dup2(OUTPUT_FD, 2)
    out = io.FileIO(1, "w", closefd=False)
    err = io.FileIO(2, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(out), "utf-8", "backslashreplace", line_buffering=True)
    sys.stderr = _ErrorStream(io.BufferedWriter(err), "utf-8", "backslashreplace", line_buffering=True)
