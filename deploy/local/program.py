"""What is to run: a command line, its environment, and how to see that it is ready."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

# Answers "" when the program is ready, otherwise why it is not.
Probe: TypeAlias = Callable[[], Awaitable[str]]

# Takes the name of a program and one line that it wrote.
Output: TypeAlias = Callable[[str, str], None]


class Turn(IntEnum):
    """Who is stopped when: those who use something before what they use."""

    SERVICE = 1
    MODEL = 2
    BROKER = 3
    STORE = 4


async def no_preparation() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process to keep running.

    ``prepare`` is awaited each time the probe has answered for a new process, and before
    anybody is told that it is ready. ``last_word``, in a line that it writes, says that it can do nothing
    any more and does not end: it is killed then.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)  # holds keys
    probe: Probe = field(repr=False)
    prepare: Callable[[], Awaitable[None]] = field(default=no_preparation, repr=False)
    turn: Turn = Turn.SERVICE
    stop_within_s: float = 10.0
    last_word: str = ""
