"""Ports for the processes that only this machine talks to."""

import random
import socket

# Below the range that systems take for outgoing connections (Linux 32768, macOS 49152): a port must
# still be there when its process is started again, and a client that looks for a process which is
# away must not meet itself (a TCP connection to one's own port succeeds).
FIRST, LAST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Draw a port that nobody listens on; at random, so that two who ask at once do not meet."""
    while not is_free(port := random.randrange(FIRST, LAST)):
        pass
    return port
