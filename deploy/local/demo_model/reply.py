"""What the demo model answers with, before it takes the form of JSON or a stream."""

import json
import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import JsonValue


@dataclass(frozen=True)
class Call:
    name: str
    arguments: dict[str, JsonValue]

    @property
    def arguments_json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True)
class Reply:
    """A text, calls, or a text followed by calls."""

    text: str
    calls: tuple[Call, ...] = ()
    was_cut: bool = False

    @property
    def finish_reason(self) -> Literal["stop", "tool_calls", "length"]:
        if self.was_cut:
            return "length"
        return "tool_calls" if self.calls else "stop"

    @property
    def words(self) -> list[str]:
        """The text in pieces, each with the white space after it; joined they are the text."""
        return re.findall(r"\s*\S+\s*", self.text)

    @property
    def tokens(self) -> int:
        """A quarter of the characters, the usual rule of thumb."""
        characters = len(self.text) + sum(len(call.name) + len(call.arguments_json) for call in self.calls)
        return -(-characters // 4)

    def cut(self, most_words: int) -> Self:
        """Keep at most so many words; calls count by the words of their arguments, all or none."""
        words = self.words
        if len(words) > most_words:
            return replace(self, text="".join(words[:most_words]), calls=(), was_cut=True)
        wanted = len(words) + sum(len(call.arguments_json.split()) for call in self.calls)
        return replace(self, calls=(), was_cut=True) if wanted > most_words else self
