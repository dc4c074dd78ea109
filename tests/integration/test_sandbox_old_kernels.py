"""The landlock sandbox as a kernel of ABI 1 gives it, where seccomp alone keeps signals inside.

All sessions and all victims have one user, as if the service were no root.
"""

import os
import subprocess
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import landlockpy
import pytest

from services.tool_code.sandbox.choose import Preference
from services.tool_code.sandbox.landlock import LandlockBackend
from services.tool_code.sandbox.runtime import FIRST_USER, Runtime, UserPool, prepare
from services.tool_code.sandbox.session import Session
from tests.integration.sandboxes import LIMITS, logs

# The same attacks, on the fixtures of this module.
from tests.integration.test_sandbox_attacks import (
    made,
    test_a_socket_pair_leads_nowhere_else,
    test_dangerous_system_calls_are_refused,
    test_metadata_of_the_services_files_stays,
    test_no_secret_of_the_service_can_be_read,
    test_no_way_to_a_listener_of_the_host,
    test_processes_are_limited_and_the_strays_are_swept,
    test_processes_of_the_host_are_out_of_reach,
    test_sessions_do_not_see_each_other,
    test_the_system_is_read_only,
)

__all__ = [
    "test_a_socket_pair_leads_nowhere_else",
    "test_dangerous_system_calls_are_refused",
    "test_metadata_of_the_services_files_stays",
    "test_no_secret_of_the_service_can_be_read",
    "test_no_way_to_a_listener_of_the_host",
    "test_processes_are_limited_and_the_strays_are_swept",
    "test_processes_of_the_host_are_out_of_reach",
    "test_sessions_do_not_see_each_other",
    "test_the_system_is_read_only",
]


class OneUser(UserPool):
    """The same for every session: what a service without root has."""

    def take(self) -> int | None:
        return FIRST_USER - 1 if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def runtime(scratch: Path) -> Runtime:
    try:
        landlockpy.abi_version()
    except landlockpy.LandlockError as error:
        pytest.skip(f"no Landlock: {error}")
    return prepare(scratch)


@pytest.fixture(scope="module")
def backend(runtime: Runtime, scratch: Path) -> LandlockBackend:
    return LandlockBackend(runtime, LIMITS, scratch, abi=1, users=OneUser())


@pytest.fixture
def kind() -> Preference:
    return "landlock"


@pytest.fixture
async def session(backend: LandlockBackend) -> AsyncIterator[Session]:
    session = await backend.start("thread_1")
    yield session
    await session.close()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that the sandboxes have, leading a group of its own."""
    victim = subprocess.Popen(["sleep", "300"], user=OneUser().take(), start_new_session=True)
    yield victim
    victim.kill()
    victim.wait()


def test_the_log_says_how_strong_it_is(backend: LandlockBackend) -> None:
    assert backend.description.startswith("Landlock ABI 1 + seccomp (which alone keeps signals inside)")


SEND = """
import ctypes, fcntl, os, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
x86 = os.uname().machine == "x86_64"
def call(on_x86, elsewhere, *arguments):
    return libc.syscall(on_x86 if x86 else elsewhere, *arguments)
def by_pidfd(pid, number):
    fd = os.pidfd_open(pid)
    return call(424, 424, fd, number, None, 0)
def by_owner(pid, number, own):
    ours, theirs = socket.socketpair()
    try:
        own(ours, pid)
    except OSError:
        pass
    fcntl.fcntl(ours, 10, number)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    theirs.send(b"now")
def info(number):
    return ctypes.create_string_buffer(struct.pack("=iii4xii", number, 0, -1, 0, 0), 128)
WAYS = [
    os.kill,
    lambda pid, number: os.kill(-pid, number),
    lambda pid, number: call(62, 129, ctypes.c_long(pid + (1 << 32)), number),
    lambda pid, number: call(200, 130, pid, number),
    lambda pid, number: call(234, 131, pid, pid, number),
    lambda pid, number: call(234, 131, os.getpid(), pid, number),
    lambda pid, number: call(129, 138, pid, number, info(number)),
    lambda pid, number: call(297, 240, pid, pid, number, info(number)),
    by_pidfd,
    lambda pid, number: by_owner(pid, number, lambda s, pid: fcntl.fcntl(s, fcntl.F_SETOWN, pid)),
    lambda pid, number: by_owner(pid, number, lambda s, pid: fcntl.fcntl(s, 15, struct.pack("ii", 1, pid))),
    lambda pid, number: by_owner(pid, number, lambda s, pid: fcntl.ioctl(s, 0x8901, struct.pack("i", pid))),
    lambda pid, number: by_owner(pid, number, lambda s, pid: fcntl.ioctl(s, 0x8902, struct.pack("i", pid))),
]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def attack(pids):
    for pid in pids:
        for way in WAYS:
            for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
                if os.fork() == 0:  # a way that fails open may hit the sender
                    try:
                        way(pid, number)
                    finally:
                        os._exit(0)
                os.wait()
    try:
        os.kill(-1, signal.SIGTERM)
    except OSError:
        pass
"""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_no_signal_leaves_the_sandbox(
    backend: LandlockBackend, session: Session, victim: subprocess.Popen[bytes]
) -> None:
    other = await backend.start("thread_2")
    try:
        neighbour = int(await logs(other, "import os; os.getpid()"))
        worker = int(await logs(session, "import os; os.getpid()"))
        supervisor = parent(worker)
        targets = [victim.pid, supervisor, parent(supervisor), parent(neighbour), neighbour, os.getpid()]
        assert await logs(session, f"{SEND}\nattack({targets})\n'done'") == "'done'"
        assert victim.poll() is None
        assert {state(pid) for pid in targets if pid != neighbour} <= set("SR")  # neither stopped nor dead
        assert await logs(other, "os.getpid()") == str(neighbour)
        assert await logs(session, "os.getpid()") == str(worker)
    finally:
        await other.close()


OWN_SIGNALS = {
    "children": """
        import os, signal, subprocess, time
        child = subprocess.Popen(["sleep", "99"])
        child.send_signal(signal.SIGSTOP); child.send_signal(signal.SIGCONT); child.terminate()
        print(child.wait())
        child = subprocess.Popen(["sh", "-c", "sleep 99 & wait"], start_new_session=True)
        os.killpg(child.pid, signal.SIGKILL)
        print(child.wait())
        print(subprocess.run(["timeout", "0.1", "sleep", "99"]).returncode)
        print(subprocess.run(["sh", "-c", "sleep 99 & kill $!; wait $! 2>&-"]).returncode)
    """,
    "itself": """
        import os, signal, threading
        heard = []
        signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        os.kill(0, signal.SIGUSR1)
        print(len(heard))
        os.killpg(os.getpgrp(), signal.SIGUSR1)
        while len(heard) < 5: pass
        if os.fork() == 0:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(0)
        print(os.wait()[1], len(heard))
    """,
    "nobody": """
        import os
        for pid in (os.getppid(), 1, 999999999):
            try: os.kill(pid, 0)
            except OSError as error: print(type(error).__name__)
        try: os.kill(os.fork() or os._exit(0), 65)
        except OSError as error: print(error.errno)
    """,
}
HEARD = {
    "children": "-15\n-9\n124\n143",
    "itself": "4\n10 5",
    "nobody": "PermissionError\nPermissionError\nProcessLookupError\n22",
}


@pytest.mark.parametrize("what", OWN_SIGNALS)
async def test_signals_inside_work_as_ever(session: Session, what: str) -> None:
    assert await logs(session, textwrap.dedent(OWN_SIGNALS[what])) == HEARD[what]


async def test_no_file_outside_is_cut(runtime: Runtime, session: Session, tmp_path: Path) -> None:
    """Neither one that may be read, nor one that may not; both are the user's own."""
    readable = made(Path(runtime.font_cache) / uuid4().hex, "data", mode=0o666)
    closed = made(tmp_path / "closed", "data", mode=0o666)
    code = f"""
        import ctypes, os, struct
        libc = ctypes.CDLL(None)
        print(open({str(readable)!r}).read())
        how = struct.pack("QQQ", os.O_TRUNC, 0, 0)
        for path in ({str(readable)!r}, {str(closed)!r}):
            for cut in (lambda p: os.truncate(p, 0), lambda p: os.open(p, os.O_RDONLY | os.O_TRUNC),
                        lambda p: os.open(p, 3 | os.O_TRUNC), lambda p: os.open(p, os.O_WRONLY | os.O_TRUNC),
                        lambda p: os.open(p, os.O_RDWR), lambda p: os.open(p, 3),
                        lambda p: libc.syscall(437, -100, p.encode(), how, 24),
                        lambda p: libc.creat(p.encode(), 0o600), lambda p: libc.truncate(p.encode(), 0),
                        lambda p: libc.open(p.encode(), os.O_TRUNC)):
                try:
                    cut(path)
                except OSError:
                    pass
        for _ in range(2):
            with open("mine", "w") as file:
                file.write("mine")
                file.truncate(2)
        print(open("mine").read())
    """
    try:
        assert await logs(session, textwrap.dedent(code)) == "data\nmi"
        assert (readable.read_text(), closed.read_text()) == ("data", "data")
    finally:
        readable.unlink()


async def test_files_move_between_folders_by_copying(session: Session) -> None:
    code = (
        "import os, shutil\nos.mkdir('d'); open('a', 'w').close(); shutil.move('a', 'd/a'); os.listdir('d')"
    )
    assert await logs(session, code) == "['a']"
