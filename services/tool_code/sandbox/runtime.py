"""The service's own interpreter, lent to the sandboxes of bwrap and landlock."""

import hashlib
import importlib.metadata
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.tool_code.sandbox.driver.policy import Policy, ProcessCap
from services.tool_code.sandbox.driver.start import PACKAGE, start_command
from services.tool_code.sandbox.limits import Limits

DRIVER = Path(__file__).parent / "driver"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/mime.types")
# Users that no distribution gives out: one per sandbox, so that limits per user are limits per sandbox.
FIRST_USER, USERS = 1_879_048_192, 1 << 20
PREPARE_TIMEOUT_S = 180
WARMED = ("ipython", "numpy", "pandas", "matplotlib", "matplotlib-inline")
WARM_UP = "import IPython, numpy, pandas, matplotlib.pyplot, matplotlib_inline.backend_inline"


@dataclass(frozen=True)
class Runtime:
    """What the sandbox may read: the interpreter, the driver, and matplotlib's list of fonts."""

    interpreter: tuple[str, ...]
    driver_root: str  # holds the driver under its package name, and nothing else
    font_cache: str

    def command(self, policy: Policy) -> list[str]:
        """The driver's command line."""
        return driver_command(sys.executable, self.driver_root, policy)


def driver_command(python: str, driver_root: str, policy: Policy) -> list[str]:
    """How any interpreter starts the driver."""
    return start_command(python, driver_root, "main", policy.to_json())


def prepare(scratch: Path) -> Runtime:
    """Lay out the driver, and warm what each sandbox would otherwise do again: bytecode and the font list.

    Blocks for some seconds the first time, and when the packages have changed.
    """
    scratch.chmod(0o755)
    root = _driver_copy(scratch)
    fonts = scratch / f"fonts-{_packages()}"
    if not fonts.exists():
        _warm_up(fonts)
    return Runtime(interpreter_paths(), str(root), str(fonts))


def _packages() -> str:
    """A name for what is warmed up: this interpreter, with these packages."""
    versions = [importlib.metadata.version(name) for name in WARMED]
    return hashlib.sha256("\0".join([sys.version, sys.prefix, *versions]).encode()).hexdigest()[:16]


def _warm_up(fonts: Path) -> None:
    draft = Path(tempfile.mkdtemp(dir=fonts.parent))
    environment = {"MPLCONFIGDIR": str(draft), "HOME": str(draft), "PATH": os.defpath, "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "-c", WARM_UP], env=environment, timeout=PREPARE_TIMEOUT_S, check=True)
    _open_to_all(draft)
    try:
        draft.rename(fonts)
    except OSError:  # somebody else was first
        shutil.rmtree(draft)


def interpreter_paths() -> tuple[str, ...]:
    """Every folder outside the system's that the interpreter needs, links on the way to it included."""
    found = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        found.add(str(link.parent.parent))
    clean = sorted(os.path.normpath(path) for path in found)
    return tuple(path for path in clean if not _inside(path, SYSTEM))


def policy_for(
    limits: Limits,
    *,
    data_dir: str,
    home_dir: str,
    process_cap: ProcessCap,
    uid: int | None,
    font_cache: str | None,
    watch_disk: bool = False,
    readable: tuple[str, ...] | None = None,
    abi: int = 0,
    reach: tuple[str, ...] = (),
) -> Policy:
    """The driver's share of the limits."""
    return Policy(
        data_dir=data_dir,
        home_dir=home_dir,
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        disk_bytes=limits.disk_bytes,
        open_files=limits.open_files,
        cpu_s=limits.cpu_s,
        output_head_bytes=limits.output_head_bytes,
        output_tail_bytes=limits.output_tail_bytes,
        max_images=limits.max_images,
        max_image_bytes=limits.max_image_bytes,
        event_bytes=limits.event_bytes,
        max_events=limits.max_events,
        process_cap=process_cap,
        uid=uid,
        font_cache=font_cache,
        watch_disk=watch_disk,
        readable=readable,
        abi=abi,
        reach=reach,
    )


class UserPool:
    """Hands out users one after the other; the start is drawn, so that two services do not meet."""

    def __init__(self) -> None:
        self._next = random.randrange(USERS)

    def take(self) -> int | None:
        """A user for one sandbox, or None where the service is no root and cannot change users."""
        if os.geteuid() != 0:
            return None
        self._next = (self._next + 1) % USERS
        return FIRST_USER + self._next


def _driver_copy(scratch: Path) -> Path:
    """The driver under its package name, in a folder named by its content.

    Sessions of another process, and of an older version, keep theirs.
    """
    sources = sorted(DRIVER.glob("*.py"))
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    root = scratch / f"driver-{digest[:16]}"
    if root.exists():
        return root
    draft = Path(tempfile.mkdtemp(dir=scratch))
    package = draft.joinpath(*PACKAGE.split("."))
    package.mkdir(parents=True)
    for source in sources:
        shutil.copyfile(source, package / source.name)
    for parent in list(package.parents)[: PACKAGE.count(".")]:
        (parent / "__init__.py").touch()
    command = [sys.executable, "-m", "compileall", "-q", "-s", str(draft), "-p", str(root), str(draft)]
    subprocess.run(command, timeout=PREPARE_TIMEOUT_S, check=True)
    _open_to_all(draft)
    try:
        draft.rename(root)
    except OSError:  # somebody else was first
        shutil.rmtree(draft)
    return root


def _open_to_all(folder: Path) -> None:
    """Readable for the users that the sandboxes run as."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _inside(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)
