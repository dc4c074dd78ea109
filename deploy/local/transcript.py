"""A conversation on paper: who speaks on the left, what is said on the right, as it comes."""

import contextlib
from typing import TextIO

MARGIN = 2
WIDTH = 11


class Transcript:
    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._speaker = ""

    def say(self, speaker: str, text: str) -> None:
        """Go on with what ``speaker`` says; a new speaker begins a new paragraph."""
        if speaker != self._speaker:
            self._write("\n" if self._speaker else "")
            self._write(" " * MARGIN + speaker.ljust(WIDTH))
            self._speaker = speaker
        self._write(text.replace("\n", "\n" + " " * (MARGIN + WIDTH)))

    def end(self, remark: str) -> None:
        self._write(f"{chr(10) * 2 if self._speaker else ''}{remark}\n\n")
        self._speaker = ""

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            self._to.write(text)
            self._to.flush()
