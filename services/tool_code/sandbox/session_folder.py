"""A folder of the host's disk that belongs to one session, and ends with it."""

import fcntl
import os
import secrets
import subprocess
from pathlib import Path

REMOVE_TIMEOUT_S = 60


class SessionFolder:
    """Holds a lock on its folder, so that a folder without one is known to be abandoned."""

    def __init__(self, parent: Path, uid: int | None) -> None:
        parent.mkdir(mode=0o711, exist_ok=True)
        self.path = parent / secrets.token_hex(8)
        self.path.mkdir(mode=0o700)
        self._lock: int | None = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for path in (self.path, self.path / "data", self.path / "home"):
            path.mkdir(mode=0o700, exist_ok=True)
            if uid is not None:
                os.chown(path, uid, uid)

    def remove(self) -> None:
        """Delete the folder. Safe to call twice."""
        if self._lock is not None:
            _delete(self.path)
            os.close(self._lock)
            self._lock = None


def remove_abandoned(parent: Path) -> None:
    """Delete what killed services have left."""
    if not parent.is_dir():
        return
    for path in parent.iterdir():
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _delete(path)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


def _delete(path: Path) -> None:
    # The code may have made folders of mode 0, and deeper ones than Python's own rmtree can walk.
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        subprocess.run([*command, "--", str(path)], stderr=subprocess.DEVNULL, timeout=REMOVE_TIMEOUT_S)
