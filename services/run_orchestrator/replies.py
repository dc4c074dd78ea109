"""What a model's reply is made of, and what can be wrong with one."""

from dataclasses import dataclass
from typing import TypeAlias

from shared.runs.model import ErrorCode, Usage


@dataclass(frozen=True)
class Text:
    """The next piece of the answer."""

    value: str


@dataclass(frozen=True)
class CallPiece:
    """The next piece of one tool call; the first one of an ``index`` has the name."""

    index: int
    name: str
    arguments: str


@dataclass(frozen=True)
class End:
    reason: str  # as in the chat-completions protocol: stop, length, tool_calls, content_filter
    usage: Usage | None = None  # None: the server did not count


Piece: TypeAlias = Text | CallPiece | End


def storable(text: str) -> str:
    """Replace halves of surrogate pairs. JSON can say them; UTF-8, and so store and broker, cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ModelTrouble(Exception):
    """The model gave no usable reply. ``code`` and the text become the run's ``last_error``.

    ``retry_after_s`` is how long the model's server asked to wait; None if it did not.
    """

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode = "server_error",
        passing: bool,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.passing = passing
        self.retry_after_s = retry_after_s


class FaultyReply(ModelTrouble):
    """The reply itself is broken; another one may be right."""

    def __init__(self, message: str) -> None:
        super().__init__(message, passing=True)
