"""The IPython shell that user code runs in: results, tracebacks, top-level await, inline figures."""

import base64
import gc
import importlib
import io
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

IMAGES = ("image/png", "image/jpeg")
INSTALLING = re.compile(
    r"^\s*(\S*python\S*\s+-m\s+)?(pip3?|conda|mamba|uv(\s+pip)?|apt(-get)?)\s+(-\S+\s+)*(install|add|download)\b"
)
ShowImage = Callable[[str, bytes], None]


class _Results(DisplayHook):
    """The value of the last expression, without the Out[1] in front."""

    def quiet(self) -> bool:
        """A semicolon after the expression asks for silence."""
        return bool(self.semicolon_at_end_of_expression(_shell(self).cell))  # type: ignore[no-untyped-call]

    def update_user_ns(self, result: object) -> None:
        """Only the last result has a name: more would keep every result alive."""
        _shell(self).user_ns["_"] = result

    def write_output_prompt(self) -> None:
        """No prompt."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: Any = None) -> None:
        if not _publish(_shell(self), format_dict):
            sys.stdout.write(format_dict.get("text/plain", "") + "\n")


class _Displays(DisplayPublisher):
    """What display() and the figures of a cell are sent to."""

    def publish(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if not _publish(_shell(self), data) and "text/plain" in data:
            sys.stdout.write(data["text/plain"] + "\n")


class CodeShell(InteractiveShell):
    """Everything textual goes to standard output, where its order is kept; images go to ``show_image``."""

    display_pub_class = Type(_Displays)
    displayhook_class = Type(_Results)
    show_image: ShowImage
    cell: str = ""  # the code that runs now

    @contextmanager
    def _tee(self, channel: Literal["stdout", "stderr"]) -> Iterator[None]:
        """Keep no copy of what is printed: IPython would have all of it until the process ends."""
        yield

    def enable_gui(self, gui: str | None = None) -> None:
        """There is no screen."""

    def ask_exit(self) -> None:
        """exit() and quit() end the cell, not the session."""
        raise SystemExit

    def system(self, cmd: str) -> None:
        """!command: straight to our streams; the usual way needs a terminal."""
        if INSTALLING.search(cmd):  # would try for a minute
            sys.stdout.write("There is no network here: nothing can be installed. Use what is there.\n")
            return
        sys.stdout.flush()
        self.system_raw(self.var_expand(cmd, depth=1))  # type: ignore[no-untyped-call]

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        kind, _, trace = exc_tuple or sys.exc_info()
        if kind is None or not issubclass(kind, SystemExit):
            _end_where_the_code_does(trace)
            super().showtraceback(exc_tuple, *args, **kwargs)


def _end_where_the_code_does(trace: types.TracebackType | None) -> None:
    """Take away a last frame that is to be hidden: IPython shows the last one all the same."""
    while trace and (inner := trace.tb_next):
        if inner.tb_next is None and inner.tb_frame.f_locals.get("__tracebackhide__") is True:
            trace.tb_next = None
        trace = inner


def build_shell() -> CodeShell:
    """The shell, complete but for its standard streams: made once, before the worker is forked."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.cache_size = 0
    config.DisplayFormatter.active_types = ["text/plain", *IMAGES]
    shell: CodeShell = CodeShell.instance(config=config, user_module=main, user_ns=main.__dict__)
    warnings.filterwarnings("ignore", message="To exit: use")
    return shell


def preload(modules: list[str]) -> None:
    """Import what is there of ``modules``, before the worker is forked."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # keeps their pages shared with the workers


def run_cell(shell: CodeShell, code: str) -> tuple[str, str | None]:
    """Run one call's code; its status and the name of the error that ended it."""
    shell.cell = code
    outcome = shell.run_cell(code, store_history=False)  # type: ignore[no-untyped-call]
    with suppress(Exception):
        _show_figures(shell)
    error = outcome.error_before_exec or outcome.error_in_exec
    if error is None:
        return "ok", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", None
    if isinstance(error, SystemExit):
        return "exit", None
    return "error", type(error).__name__


def _show_figures(shell: CodeShell) -> None:
    """Show what the inline backend would have shown, had the code not chosen Agg, as much code does."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot and pyplot.get_backend().lower() == "agg":
        for number in pyplot.get_fignums():
            drawn = io.BytesIO()
            pyplot.figure(number).savefig(drawn, format="png", bbox_inches="tight")
            _publish(shell, {"image/png": drawn.getvalue()})
        pyplot.close("all")


def _shell(part: DisplayHook | DisplayPublisher) -> CodeShell:
    """The shell that a part of it belongs to."""
    shell = part.shell
    assert isinstance(shell, CodeShell)
    return shell


def _publish(shell: CodeShell, data: dict[str, Any]) -> bool:
    """Send the image among the representations, if there is one."""
    for kind in IMAGES:
        if kind in data:
            sys.stdout.flush()
            image = data[kind]
            shell.show_image(kind, base64.b64decode(image) if isinstance(image, str) else image)
            return True
    return False
