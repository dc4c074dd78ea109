"""The data folder: what outlives a start. One launcher uses it at a time."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

KEY_BYTES = 32
OWNER_ONLY = 0o600


class FolderInUse(Exception):
    """Another launcher runs on this folder."""


@dataclass(frozen=True)
class Running:
    """Who uses a folder."""

    pid: int
    base_url: str
    model: str  # whose answers it gives, in words
    store_url: str = ""  # of the embedded store; empty where a MongoDB was named
    kafka: str = ""  # the broker's address


class DataFolder:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def index(self) -> Path:
        """Of the files that are searched; it can be made anew from them."""
        return self.path / "index"

    @property
    def welcomed(self) -> Path:
        """A file that exists once the first conversation has been shown."""
        return self.path / "welcomed"

    def api_key(self) -> str:
        return self._key("api-key", "sk-threadmill-")

    def call_secret(self) -> str:
        return self._key("call-secret", "")

    def key_pepper(self) -> str:
        """What the API keys in the store are worth nothing without."""
        return self._key("key-pepper", "")

    def in_use(self) -> bool:
        """Whether a launcher runs on this folder now."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def running(self) -> Running | None:
        """Return who said last that it uses this folder; it may have ended since."""
        try:
            return Running(**json.loads((self.path / "lock").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @contextmanager
    def locked(self, base_url: str, model: str, store_url: str = "", kafka: str = "") -> Iterator[None]:
        """Keep others out, and tell them who is in.

        The lock is the kernel's: it is gone with this process, however that ends.

        Raises:
            FolderInUse: another process has the folder; names it.
        """
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderInUse(self._describe(self.running())) from None
            lock.truncate(0)
            json.dump(asdict(Running(os.getpid(), base_url, model, store_url, kafka)), lock)
            lock.flush()
            yield

    def _describe(self, running: Running | None) -> str:
        who = f"process {running.pid}, {running.base_url}" if running else "another process"
        return f"{self.path} is used by {who}; stop that first, or choose another folder with --data"

    def _key(self, name: str, prefix: str) -> str:
        """Read the key in file ``name``; drawn and written once, for its owner only."""
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            key = prefix + secrets.token_urlsafe(KEY_BYTES)
            file.write(key + "\n")
        return key
