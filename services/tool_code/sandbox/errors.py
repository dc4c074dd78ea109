"""What can go wrong with a sandbox itself, apart from the code in it.

SandboxError
├── SandboxUnavailable   the wanted kind of sandbox does not work on this machine
├── SandboxStartFailed   this one sandbox did not come up
├── SessionClosed        the sandbox is gone, and its variables and files with it
└── FileRefused          the driver would not read or write that path
"""


class SandboxError(Exception):
    """The sandbox failed."""


class SandboxUnavailable(SandboxError):
    """The wanted kind of sandbox does not work on this machine."""


class SandboxStartFailed(SandboxError):
    """The sandbox did not come up."""


class SessionClosed(SandboxError):
    """The sandbox is gone; start another."""


class FileRefused(SandboxError):
    """The driver would not read or write that path."""
