"""Where log lines are shown: standard error, in one stream."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from deploy.local.lines import LAUNCHER, Renderer
from shared.logs import JsonFormatter


class Screen:
    """Shows what ``renderer`` makes of the lines of all processes."""

    def __init__(self, renderer: Renderer, to: TextIO = sys.stderr) -> None:
        self._renderer = renderer
        self._to = to
        self._held: list[str] | None = None

    def output(self, name: str, line: str) -> None:
        if (text := self._renderer.render(name, line)) is not None:
            self.write(text + "\n")

    def write(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
            return
        with contextlib.suppress(OSError):  # the terminal is gone: the processes must still be stopped
            self._to.write(text)
            self._to.flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep lines back until the end of the block, where something else is written line by line."""
        self._held = []
        try:
            yield
        finally:
            lines, self._held = self._held, None
            self.write("".join(lines))


class LauncherHandler(logging.Handler):
    """Sends the launcher's own records where the lines of its processes go."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setFormatter(JsonFormatter(LAUNCHER))

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.output(LAUNCHER, self.format(record))
