"""Why a file has no text."""

from typing import Literal, TypeAlias

ErrorCode: TypeAlias = Literal["server_error", "unsupported_file", "invalid_file"]


class ParseError(Exception):
    """It never will be read, whoever tries; ``code`` and the message are what the client sees."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
