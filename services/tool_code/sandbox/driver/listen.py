"""The driver in a pod: waits for one connection that knows the token, and becomes the driver on it.

The pool's secret is in the environment of this process alone: the driver is another program, started in its
place, so the code finds the secret neither in an environment nor in memory.
"""

import hashlib
import hmac
import os
import socket
import sys
from typing import NoReturn

from services.tool_code.sandbox.driver import frames
from services.tool_code.sandbox.driver.start import PACKAGE, start_command

SECRET, ADDRESS, PORT = "SANDBOX_SECRET", "POD_IP", "SANDBOX_PORT"
TOKEN_BYTES = 64
MAX_POLICY_BYTES = 1 << 16
PATIENCE_S = 5.0
BACKLOG = 8
# A host whose machine is gone says nothing more: its sandbox ends within half a minute.
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def token_for(secret: str, address: str) -> bytes:
    """What opens the sandbox at this address, and no other."""
    return hmac.new(secret.encode(), f"sandbox {address}".encode(), hashlib.sha256).hexdigest().encode()


def main() -> NoReturn:
    """Never returns: it becomes the driver."""
    address, port = os.environ[ADDRESS], int(os.environ[PORT])
    token = token_for(os.environ[SECRET], address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=BACKLOG) as server:
        policy = None
        while policy is None:
            connection, _ = server.accept()
            policy = _policy_from(connection, token)
    for level, option, value in KEEP_ALIVE:
        connection.setsockopt(level, option, value)
    os.dup2(connection.fileno(), 0)
    os.dup2(connection.fileno(), 1)
    root = __file__.rsplit("/", PACKAGE.count(".") + 2)[0]
    command = start_command(sys.executable, root, "main", policy)
    os.execve(command[0], command, {"LANG": "C.UTF-8"})


def _policy_from(connection: socket.socket, token: bytes) -> str | None:
    """What the host decides for this sandbox; None, and the connection is closed, if it is not the host."""
    connection.settimeout(PATIENCE_S)
    try:
        if hmac.compare_digest(_exactly(connection, TOKEN_BYTES), token):
            length, kind = frames.HEADER.unpack(_exactly(connection, frames.HEADER.size))
            if kind == frames.JSON and length <= MAX_POLICY_BYTES:
                policy = _exactly(connection, length).decode()
                connection.settimeout(None)
                return policy
    except (OSError, EOFError, ValueError):
        pass
    connection.close()
    return None


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data
