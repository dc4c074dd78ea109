"""Bubblewrap: namespaces of its own for processes, files, network and users; no daemon, no image."""

import shutil
from pathlib import Path

from services.tool_code.sandbox.channel import ProcessChannel
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable
from services.tool_code.sandbox.limits import MIB, Limits
from services.tool_code.sandbox.runtime import SYSTEM, SYSTEM_FILES, Runtime, UserPool, policy_for
from services.tool_code.sandbox.session import Session

DATA, HOME = "/mnt/data", "/tmp"
HOME_BYTES, SHARED_MEMORY_BYTES = 64 * MIB, 16 * MIB

MASKED_FILES = (
    "/proc/kallsyms",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/config.gz",
    "/proc/modules",
    "/proc/interrupts",
)
MASKED_FOLDERS = ("/proc/acpi", "/proc/bus", "/proc/irq", "/proc/fs", "/proc/scsi")


class BwrapBackend:
    """One bubblewrap per session, around the service's own interpreter.

    Started by root, bubblewrap mounts with root's rights (the interpreter may lie where nobody else can
    look) and the driver then becomes a user that belongs to this sandbox alone. It must: with root's
    user id, the host's settings under /proc/sys would be writable.
    """

    name = "bwrap"
    description = "bubblewrap namespaces, seccomp and resource limits; the host's kernel is shared"

    def __init__(self, runtime: Runtime, limits: Limits) -> None:
        program = shutil.which("bwrap")
        if program is None:
            raise SandboxUnavailable("bubblewrap is not installed")
        self._program = program
        self._runtime = runtime
        self._limits = limits
        self._users = UserPool()

    async def start(self, session_id: str) -> Session:
        uid = self._users.take()
        policy = policy_for(
            self._limits,
            data_dir=DATA,
            home_dir=HOME,
            process_cap="rlimit",
            uid=uid,
            font_cache=self._runtime.font_cache,
        )
        command = [*self._wall(as_root=uid is not None), *self._runtime.command(policy)]
        try:
            channel = await ProcessChannel.open(command)
        except OSError as error:
            raise SandboxStartFailed(str(error)) from error
        return await Session.open(session_id, channel, self._limits)

    async def close(self) -> None:
        """Nothing is held between sessions."""

    def _wall(self, *, as_root: bool) -> list[str]:
        arguments = [self._program, "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
        arguments += [
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        arguments += ["--hostname", "sandbox", "--cap-drop", "ALL"]
        if as_root:
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # to drop the user, and itself
                arguments += ["--cap-add", capability]
        else:
            arguments += ["--unshare-user", "--disable-userns"]
        for root in SYSTEM:
            if Path(root).is_symlink():
                arguments += ["--symlink", str(Path(root).readlink()), root]
            elif Path(root).is_dir():
                arguments += ["--ro-bind", root, root]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        for path, size in (
            (HOME, HOME_BYTES),
            (DATA, self._limits.disk_bytes),
            ("/dev/shm", SHARED_MEMORY_BYTES),
        ):
            arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", path]
        for path in (*self._runtime.interpreter, self._runtime.driver_root, self._runtime.font_cache):
            for parent in reversed(Path(path).parents[:-1]):
                arguments += ["--perms", "0755", "--dir", str(parent)]  # its own default is 0700 for root
            arguments += ["--ro-bind", path, path]
        for path in SYSTEM_FILES:
            arguments += ["--ro-bind-try", path, path]
        return [*arguments, *_masks(), "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", DATA]


def _masks() -> list[str]:
    arguments = ["--ro-bind", "/proc/sys", "/proc/sys"]
    for path in MASKED_FILES:
        if Path(path).exists():
            arguments += ["--ro-bind", "/dev/null", path]
    for path in MASKED_FOLDERS:
        if Path(path).is_dir():
            arguments += ["--tmpfs", path, "--remount-ro", path]
    return arguments
