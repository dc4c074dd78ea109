"""The system calls that Python has no name for."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH103, PTH116

import ctypes
import os
import resource
import signal
import struct

LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18

LAST_CAPABILITY = 63
CAPABILITY_VERSION = 0x20080522


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument.

    Raises:
        OSError: the kernel refused.
    """
    if LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _last_error(f"prctl {option}")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_user(uid: int) -> None:
    """Become ``uid`` for good: no groups, no capability, none to be had again.

    Raises:
        OSError: one step was refused; the caller must not go on.
    """
    for capability in range(LAST_CAPABILITY + 1):
        LIBC.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)  # EINVAL past the last one
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    header, none = struct.pack("=II", CAPABILITY_VERSION, 0), struct.pack("=6I", *[0] * 6)
    if LIBC.capset(header, none) != 0:  # the inheritable set survives a change of user
        raise _last_error("capset")
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (uid, uid, uid) or os.getgroups():
        raise PermissionError(f"still running as {os.getresuid()}")


def reach(paths: tuple[str, ...]) -> None:
    """Give each path a road that any user may walk, in a mount namespace of this process alone.

    An interpreter under a home directory of mode 0700 is unreachable for the dropped user. Its first
    closed ancestor is covered by an empty file system and the wanted folders are mounted back into it.

    Raises:
        OSError: no right to mount.
    """
    if LIBC.unshare(CLONE_NEWNS) != 0:
        raise _last_error("unshare")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    handles = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    for closed in sorted({first_closed(path) or path for path in paths}):
        if closed not in paths:
            _mount("tmpfs", closed, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for path, handle in handles.items():
        os.makedirs(path, mode=0o755, exist_ok=True)
        _mount(f"/proc/self/fd/{handle}", path, None, MS_BIND | MS_REC)
        os.close(handle)


def first_closed(path: str) -> str | None:
    """The topmost ancestor of ``path`` that strangers may not pass, if any."""
    parts = path.strip("/").split("/")
    for length in range(1, len(parts)):
        ancestor = "/" + "/".join(parts[:length])
        if not os.stat(ancestor).st_mode & 0o001:
            return ancestor
    return None


def limit(kind: int, value: int) -> None:
    """Set both sides of one resource limit, never above what is allowed already."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [text.encode() if text is not None else None for text in (source, target, kind)]
    options = data.encode() if data is not None else None
    if LIBC.mount(*encoded, ctypes.c_ulong(flags), options) != 0:
        raise _last_error(f"mount {target}")


def _last_error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")
