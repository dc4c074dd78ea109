"""Where log lines go."""

import io
import logging

from deploy.local.lines import LAUNCHER, Renderer
from deploy.local.screen import LauncherHandler, Screen


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("the terminal is gone")


def test_lines_wait_while_something_else_is_written() -> None:
    shown = io.StringIO()
    screen = Screen(Renderer(("store",), level="info"), shown)

    with screen.held():
        screen.output("store", "first")
        screen.output("store", "second")
        assert shown.getvalue() == ""
    screen.output("store", "third")

    assert [line.split()[-1] for line in shown.getvalue().splitlines()] == ["first", "second", "third"]


def test_a_lost_terminal_is_no_error() -> None:
    Screen(Renderer(("store",), level="info"), Closed()).output("store", "nobody sees this")


def test_the_launchers_own_records_are_lines_too() -> None:
    shown = io.StringIO()
    handler = LauncherHandler(Screen(Renderer((LAUNCHER,), level="error"), shown))

    handler.handle(logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO", "msg": "stopped"}))

    assert shown.getvalue().startswith("threadmill | ")
    assert shown.getvalue().endswith(" info    stopped\n")
