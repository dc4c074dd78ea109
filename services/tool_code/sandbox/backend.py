"""What a kind of sandbox is to the rest of the service."""

from typing import Protocol

from services.tool_code.sandbox.session import Session


class Backend(Protocol):
    """Starts sandboxes. One sandbox belongs to one thread of the API and is never handed to another."""

    name: str
    description: str  # how strong the wall is, for the log and the health page

    async def start(self, session_id: str) -> Session:
        """A fresh sandbox.

        Raises:
            SandboxStartFailed: it did not come up.
        """
        ...

    async def close(self) -> None:
        """Give back what the backend itself holds; its sessions are closed by their owners."""
        ...
