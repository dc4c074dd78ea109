"""Landlock: the wall where the machine offers neither containers nor namespaces."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH110, PTH112

import os

from landlockpy import AccessFS, AccessNet, Ruleset, Scope, fs_for_abi, net_for_abi

READ = AccessFS.READ_FILE | AccessFS.READ_DIR
WRITE = (
    READ
    | AccessFS.WRITE_FILE
    | AccessFS.TRUNCATE
    | AccessFS.REMOVE_DIR
    | AccessFS.REMOVE_FILE
    | AccessFS.MAKE_DIR
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_SYM
    | AccessFS.MAKE_FIFO
    | AccessFS.REFER
)
FILE = AccessFS.READ_FILE | AccessFS.WRITE_FILE | AccessFS.EXECUTE | AccessFS.TRUNCATE

DEVICES = {
    "/dev/null": AccessFS.READ_FILE | AccessFS.WRITE_FILE,
    "/dev/zero": AccessFS.READ_FILE,
    "/dev/random": AccessFS.READ_FILE,
    "/dev/urandom": AccessFS.READ_FILE,
}
SCOPES_SIGNALS, JUDGES_TRUNCATE = 6, 3  # the first ABI that does; before, seccomp has to
# What libraries look up about the machine; the rest of /proc names the host's processes.
MACHINE_FACTS = ("cpuinfo", "meminfo", "stat", "uptime", "version", "filesystems", "sys/vm/overcommit_memory")


def enter_scope(abi: int) -> bool:
    """From here on signals and abstract sockets reach only this process and its descendants.

    False if the kernel cannot do that.
    """
    if abi < SCOPES_SIGNALS:
        return False
    with Ruleset(
        handled_fs=AccessFS.REFER, handled_net=AccessNet.NONE, scoped=_scope(abi), best_effort=False
    ) as ruleset:
        # A domain that does not name this right withholds it: no rename from folder to folder.
        ruleset.allow_path("/", AccessFS.REFER)
        ruleset.restrict()
    return True


def enter(readable: tuple[str, ...], writable: tuple[str, ...], *, processes: bool, abi: int) -> None:
    """Leave only these paths, and where the kernel can, no TCP and no signal to anybody outside.

    ``processes``: all of /proc stays readable (the supervisor counts there); otherwise a few facts
    about the machine and the process's own entry.
    """
    with Ruleset(
        handled_fs=fs_for_abi(abi), handled_net=net_for_abi(abi), scoped=_scope(abi), best_effort=False
    ) as ruleset:
        for path in readable:
            _allow(ruleset, path, READ | AccessFS.EXECUTE)
        for path in writable:
            _allow(ruleset, path, WRITE)
        for path, access in DEVICES.items():
            _allow(ruleset, path, access)
        if processes:
            _allow(ruleset, "/proc", READ | AccessFS.WRITE_FILE)  # oom_score_adj of its own children
        else:
            _allow(ruleset, f"/proc/{os.getpid()}", READ)
            for name in MACHINE_FACTS:
                _allow(ruleset, f"/proc/{name}", AccessFS.READ_FILE)
        ruleset.restrict()


def _scope(abi: int) -> Scope:
    return Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET if abi >= SCOPES_SIGNALS else Scope.NONE


def _allow(ruleset: Ruleset, path: str, access: AccessFS) -> None:
    if os.path.exists(path):
        ruleset.allow_path(path, access if os.path.isdir(path) else access & FILE)
