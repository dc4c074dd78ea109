"""A conversation on paper: who speaks on the left, what is said on the right, as it comes."""

import contextlib
import re
from typing import TextIO

MARGIN = 2
WIDTH = 11


class Transcript:
    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._speaker = ""
        self._line_ends = ""  # not written yet: indented if more follows, else dropped

    def say(self, speaker: str, text: str) -> None:
        """Go on with what ``speaker`` says; a new speaker begins a new paragraph."""
        if speaker != self._speaker:
            self._write("\n" if self._speaker else "")
            self._write(" " * MARGIN + speaker.ljust(WIDTH))
            self._speaker, self._line_ends = speaker, ""
        for part in re.split(r"(\n+)", text):
            if part.startswith("\n"):
                self._line_ends += part
            elif part:
                indent = " " * (MARGIN + WIDTH) if self._line_ends else ""
                self._write(self._line_ends + indent + part)
                self._line_ends = ""

    def end(self, remark: str) -> None:
        between = "\n\n" if self._speaker else ""
        self._write(f"{between}{remark}\n\n")
        self._speaker = ""

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            self._to.write(text)
            self._to.flush()
