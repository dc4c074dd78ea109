"""The working directory, seen from the supervisor: names in it are the code's, and hostile."""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH118, PTH123

import os
import secrets
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

MAX_FILE_BYTES = 32 << 20
MAX_NAME_BYTES = 255
MAX_DEPTH = 8
MAX_ENTRIES = 5_000
MAX_REPORTED = 64
MAX_QUOTA_ENTRIES = 20_000
MAX_QUOTA_DEPTH = 200
ENDLESS = 1 << 62

Marks = tuple[int, int, int, int]  # inode, size, mtime, ctime: a change to any is a change


@dataclass(frozen=True)
class Changes:
    """What one call did to the working directory."""

    written: list[tuple[str, int]]  # path and size
    gone: list[str]


class Folder:
    """One directory tree; no method ever follows a link."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._seen = self._scan()

    def changes(self) -> Changes:
        """Regular files written (newest first) or gone since the last call of this method: 64 of each."""
        now, before = self._scan(), self._seen
        self._seen = now
        changed = [path for path, marks in now.items() if before.get(path) != marks]
        # What packs many others up comes last; the clock of a file system is too coarse to tell alone.
        changed.sort(key=lambda path: (now[path][3], now[path][0]), reverse=True)
        written = [(path, now[path][1]) for path in changed]
        gone = [path for path in before if path not in now]
        return Changes(written[:MAX_REPORTED], gone[:MAX_REPORTED])

    def forget_changes(self) -> None:
        """Delete the files written since the last ``changes``: over quota, they have to go."""
        before = self._seen
        for path in [
            path for path, marks in self._scan(max_entries=1 << 20).items() if before.get(path) != marks
        ]:
            with suppress(OSError, ValueError), closing(_Parent(self.root, path)) as parent:
                os.unlink(parent.name, dir_fd=parent.fd)

    def read(self, path: str) -> bytes:
        """The bytes of one regular file.

        Raises:
            OSError: no such file, not a regular one, or longer than 32 MiB.
            ValueError: a path that leads out.
        """
        with closing(_Parent(self.root, path)) as parent:
            # O_NONBLOCK: a FIFO must not hold us up before we can see that it is one.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(parent.name, flags, dir_fd=parent.fd)
        with open(fd, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError("not a regular file")
            if found.st_size > MAX_FILE_BYTES:
                raise OSError(f"{found.st_size} bytes are too many")
            return file.read(MAX_FILE_BYTES)

    def write(self, path: str, data: bytes) -> None:
        """Create or replace one file whole, with the folders on the way.

        Raises:
            OSError: the disk is full, or something that is no folder is in the way.
            ValueError: a path that leads out.
        """
        with closing(_Parent(self.root, path, create=True)) as parent:
            draft = f".incoming-{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(draft, flags, 0o600, dir_fd=parent.fd)
            try:
                with open(fd, "wb") as file:
                    file.write(data)
                os.rename(draft, parent.name, src_dir_fd=parent.fd, dst_dir_fd=parent.fd)
            except OSError:
                os.unlink(draft, dir_fd=parent.fd)
                raise

    def _scan(self, max_entries: int = MAX_ENTRIES) -> dict[str, Marks]:
        found: dict[str, Marks] = {}
        for count, (path, entry) in enumerate(walk(self.root, MAX_DEPTH)):
            if count >= max_entries:
                break
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode):
                    found[path] = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        return found


def used_bytes(*roots: str) -> int:
    """Disk blocks in use; more entries than a sandbox may have count as endless."""
    total = count = 0
    for root in roots:
        for _, entry in walk(root, MAX_QUOTA_DEPTH):
            count += 1
            if count > MAX_QUOTA_ENTRIES:
                return ENDLESS
            with suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def clear(*roots: str) -> None:
    """Delete everything below: for what is too deep, too much or too strange to be told apart."""
    for root in roots:
        # Folders may have mode 0. chmod follows a link that is named to it, so only the root is.
        _command("chmod", "-R", "u+rwX", "--", root)
        with suppress(OSError), os.scandir(root) as entries:
            _command("rm", "-rf", "--", *[entry.path for entry in entries])


def _command(*words: str) -> None:
    with suppress(OSError):
        subprocess.run(words, stderr=subprocess.DEVNULL, check=False)


def free_bytes(path: str) -> int:
    """Room on the file system."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def walk(root: str, max_depth: int) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Everything below ``root`` with its relative path; links are named, never followed."""
    folders = [("", 0)]
    while folders:
        folder, depth = folders.pop()
        with suppress(OSError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                path = os.path.join(folder, entry.name)
                yield path, entry
                if depth < max_depth and entry.is_dir(follow_symlinks=False):
                    folders.append((path, depth + 1))


class _Parent:
    """The opened folder that a path's last name is in, reached without following a link."""

    def __init__(self, root: str, path: str, *, create: bool = False) -> None:
        *folders, self.name = _parts(path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = os.open(root, flags)
        try:
            for folder in folders:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=self.fd)
                deeper = os.open(folder, flags, dir_fd=self.fd)
                os.close(self.fd)
                self.fd = deeper
        except OSError:
            os.close(self.fd)
            raise

    def close(self) -> None:
        os.close(self.fd)


def _parts(path: str) -> list[str]:
    """The names in a relative path.

    Raises:
        ValueError: it is absolute, empty, too deep, or a name in it leads elsewhere.
    """
    parts = path.split("/")
    if len(parts) > MAX_DEPTH + 1:
        raise ValueError("the path is too deep")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > MAX_NAME_BYTES:
            raise ValueError("not a path inside the working directory")
    return parts
