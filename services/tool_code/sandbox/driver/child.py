"""The live worker, as the supervisor holds it."""

import socket
from dataclasses import dataclass

from services.tool_code.sandbox.driver.forks import ForkGate
from services.tool_code.sandbox.driver.frames import FrameReader


@dataclass
class Child:
    """Its process, the pipes to it, and what it has announced."""

    pid: int
    control: socket.socket
    reader: FrameReader
    output_fd: int
    gate: ForkGate | None
    status: int | None = None  # wait status, once it has ended
    image_kind: str | None = None  # an image frame was announced; its bytes come next
