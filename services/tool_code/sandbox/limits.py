"""How much one sandbox may use up; every backend enforces all of it."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The defaults suit a notebook: one core's worth of work on data that fits in memory."""

    memory_bytes: int = 1024 * MIB  # all processes of the sandbox together
    processes: int = 64  # threads count, too
    disk_bytes: int = 256 * MIB  # working directory, and the longest single file
    open_files: int = 512  # of one process
    cpu_s: int = 3600  # CPU seconds of one process over its whole life
    cpus: float = 1.0  # docker only: the others run at a low priority
    output_head_bytes: int = 64 << 10
    output_tail_bytes: int = 64 << 10
    max_images: int = 16
    max_image_bytes: int = 8 * MIB
    event_bytes: int = 16 * MIB  # all images of one call together
    max_events: int = 1000
    code_bytes: int = 1 * MIB
    grace_s: float = 2.0  # between the interrupt and the kill
    start_timeout_s: float = 30.0
