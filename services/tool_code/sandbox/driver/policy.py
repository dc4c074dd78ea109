"""What the host decides for one sandbox, handed to the driver as one JSON argument."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

ProcessCap = Literal["rlimit", "notify", "cgroup"]


@dataclass(frozen=True)
class Policy:
    """Where the sandbox works and what it may use up.

    ``process_cap`` names who counts processes: the kernel per user ("rlimit", sound only if the user
    belongs to this sandbox alone), the supervisor asked by seccomp at each fork ("notify"), or the
    container's cgroup ("cgroup").
    """

    data_dir: str  # working directory of the code
    home_dir: str  # HOME, TMPDIR and the caches
    memory_bytes: int
    processes: int
    disk_bytes: int
    open_files: int
    cpu_s: int  # CPU seconds of one process over its whole life
    output_head_bytes: int
    output_tail_bytes: int
    max_images: int
    max_image_bytes: int
    event_bytes: int  # all images of one call together
    max_events: int
    process_cap: ProcessCap
    uid: int | None = None  # drop to this user and group first; None: keep the user
    font_cache: str | None = None  # folder with matplotlib's font list, copied so that nobody rebuilds it
    watch_disk: bool = False  # no quota from the file system: measure
    readable: tuple[str, ...] | None = None  # Landlock: the only paths that can be read; None: no Landlock
    abi: int = 0  # Landlock: the version to use, at most the kernel's
    reach: tuple[str, ...] = ()  # paths that the dropped user could not reach: mount them anew first

    @classmethod
    def from_json(cls, text: str) -> "Policy":
        """The policy that ``to_json`` wrote."""
        fields = json.loads(text)
        for name in ("readable", "reach"):
            if fields[name] is not None:
                fields[name] = tuple(fields[name])
        return cls(**fields)

    def to_json(self) -> str:
        """The policy as one command-line argument."""
        return json.dumps(asdict(self))
