"""``/mnt/data`` where nothing can be mounted: what code names there is found in its working directory.

Models write exactly this path, and Landlock gives a process no view of the files of its own. So Python's
functions are handed the real path, and so are the commands that Python starts. Not what stands in the
scripts of such commands, nor libraries that open files in C (HDF5, Arrow). A courtesy to the code, no wall.
"""

import builtins
import functools
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

FOLDER = "/mnt/data"
# How many of their first arguments are paths.
FUNCTIONS = (
    dict.fromkeys(("open", "stat", "lstat", "access", "statvfs", "listdir", "scandir", "chdir"), 1)
    | dict.fromkeys(("mkdir", "rmdir", "remove", "unlink", "mkfifo", "readlink"), 1)
    | dict.fromkeys(("chmod", "utime", "truncate"), 1)
    | dict.fromkeys(("rename", "replace", "link", "symlink"), 2)
)
PATH_NAMES = frozenset(("path", "file", "src", "dst", "database"))
IN_COMMANDS = re.compile(r"(?<![\w./])/mnt/data(?![\w.-])")
SUPPORTS = (
    os.supports_dir_fd,
    os.supports_effective_ids,
    os.supports_fd,
    os.supports_follow_symlinks,
)

Function = Callable[..., Any]


def install(data_dir: str) -> None:
    """Have this process take ``/mnt/data`` for ``data_dir``."""
    if data_dir == FOLDER:
        return
    names = _Names(data_dir)
    for name, paths in FUNCTIONS.items():
        original = getattr(os, name)
        replacement = names.real_in(original, paths)
        setattr(os, name, replacement)
        for supporting in SUPPORTS:  # others ask there for the function itself
            if original in supporting:
                supporting.add(replacement)
    for name in ("getcwd", "readlink"):
        setattr(os, name, names.shown_out_of(getattr(os, name)))
    _replace_everywhere(builtins.open, names.real_in(builtins.open, 1))
    for module, name, function in (
        (sqlite3, "connect", names.real_in(sqlite3.connect, 1)),
        (os, "system", names.real_in_command(os.system, 0)),
        (subprocess.Popen, "__init__", names.real_in_command(subprocess.Popen.__init__, 1)),
    ):
        setattr(module, name, function)


def _replace_everywhere(original: Function, replacement: Function) -> None:
    """Many modules have kept it under a name of their own: bz2, tarfile, the shell's ``open`` of cells."""
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, replacement)


class _Names:
    """A path under the folder, and the same under the real one."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir

    def real_in(self, function: Function, paths: int) -> Function:
        """``function``, told real paths; its errors name those that it was called with."""

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            told = [self._real(each) for each in given[:paths]]
            told_named = {
                key: self._real(value) if key in PATH_NAMES else value for key, value in named.items()
            }
            try:
                return function(*told, *given[paths:], **told_named)
            except OSError as error:
                if error.filename is not None:  # one that was set to None would be printed
                    error.filename = self._shown(error.filename)
                if error.filename2 is not None:
                    error.filename2 = self._shown(error.filename2)
                raise

        return called

    def real_in_command(self, function: Function, place: int) -> Function:
        """``function``, whose argument at ``place`` is a command, told real paths in it."""

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            told = list(given)
            if len(told) > place:
                told[place] = self._command(told[place])
            for key in ("args", "command"):
                if key in named:
                    named[key] = self._command(named[key])
            if "cwd" in named:
                named["cwd"] = self._real(named["cwd"])
            return function(*told, **named)

        return called

    def shown_out_of(self, function: Function) -> Function:
        """``function``, whose path comes back as the code knows it."""

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            return self._shown(function(*given, **named))

        return called

    def _real(self, path: Any) -> Any:
        if not isinstance(path, str | bytes | os.PathLike):
            return path
        named = os.fspath(path)
        return _moved(named, FOLDER, self._data_dir) if _inside(named, FOLDER) else path

    def _shown(self, path: Any) -> Any:
        if isinstance(path, str | bytes) and _inside(path, self._data_dir):
            return _moved(path, self._data_dir, FOLDER)
        return path

    def _command(self, command: Any) -> Any:
        if isinstance(command, str):
            return IN_COMMANDS.sub(lambda _: self._data_dir, command)
        if isinstance(command, list | tuple):
            return [self._command(part) if isinstance(part, str) else self._real(part) for part in command]
        return self._real(command)


def _inside(path: str | bytes, folder: str) -> bool:
    start: Any = folder if isinstance(path, str) else folder.encode()
    return path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/", b"", b"/")


def _moved(path: str | bytes, old: str, new: str) -> str | bytes:
    return new + path[len(old) :] if isinstance(path, str) else new.encode() + path[len(old.encode()) :]
