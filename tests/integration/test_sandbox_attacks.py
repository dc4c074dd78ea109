"""What a sandbox does to code that means ill; the same attacks on every kind of sandbox.

Files that could hurt the machine are opened at most, never written.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import Preference
from services.tool_code.sandbox.errors import FileRefused
from services.tool_code.sandbox.limits import MIB
from services.tool_code.sandbox.session import Session
from tests.eventually import eventually
from tests.integration.sandboxes import KINDS, LIMITS, PATIENT_S, logs, started


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Preference:
    preference: Preference = request.param
    return preference


@pytest.fixture(scope="module")
def backend(kind: Preference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started(kind, tmp_path_factory.mktemp("scratch")) as backend:
        yield backend


@pytest.fixture
async def session(backend: Backend) -> AsyncIterator[Session]:
    session = await backend.start("thread_1")
    yield session
    await session.close()


def made(path: Path, text: str = "", *, mode: int) -> Path:
    """A file of the service in the way of the attack, its folder open to everybody."""
    path.write_text(text)
    path.chmod(mode)
    path.parent.chmod(0o777)
    return path


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"])


def running(marker: str) -> list[int]:
    """Processes of this machine with the marker on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in command:
                found.append(int(entry.name))
    return found


async def gone(marker: str) -> None:
    async def none_left() -> bool:
        return not running(marker)

    await eventually(none_left, within_s=5)


# -- using up the machine


async def test_one_process_too_big_gets_a_memory_error(session: Session) -> None:
    execution = await session.run("x = 3\nbig = bytearray(2 << 30)", timeout_s=PATIENT_S)
    assert (execution.error, execution.state_lost) == ("MemoryError", False)
    assert await logs(session, "x") == "3"


MEMORY_BOMBS = {
    "many processes": """
        import os, time
        for _ in range(8):
            if os.fork() == 0:
                held = bytearray(b"x") * (200 << 20)
                time.sleep(60)
        time.sleep(60)
    """,
    "shared maps": """
        import mmap
        maps = []
        while True:
            maps.append(mmap.mmap(-1, 64 << 20))
            maps[-1].write(b"x" * (64 << 20))
    """,
}


@pytest.mark.parametrize("bomb", MEMORY_BOMBS.values(), ids=MEMORY_BOMBS.keys())
async def test_memory_of_all_processes_together_is_limited(
    session: Session, kind: Preference, bomb: str
) -> None:
    await logs(session, "open('kept', 'w').close()")
    execution = await session.run(textwrap.dedent(bomb), timeout_s=60)
    assert "more memory than the sandbox has" in (execution.notice or "")
    if kind != "docker":  # there the kernel picks whom to kill, and may spare the worker
        assert (execution.status, execution.state_lost) == ("worker_died", True), execution
    assert await logs(session, "import os; os.listdir()") == "['kept']"


async def test_processes_are_limited_and_the_strays_are_swept(session: Session) -> None:
    code = """
        import os, time
        started = 0
        try:
            for _ in range(200):
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
                started += 1
        except BlockingIOError:
            print(started)
    """
    for _ in range(2):  # the second time there is room again
        started = int(await logs(session, textwrap.dedent(code)))
        assert LIMITS.processes // 2 < started <= LIMITS.processes


async def test_threads_count_as_processes(session: Session) -> None:
    code = """
        import threading, time
        try:
            for number in range(200):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            print(number)
    """
    assert int(await logs(session, textwrap.dedent(code))) <= LIMITS.processes


async def test_a_fork_bomb_ends_with_its_call(session: Session) -> None:
    execution = await session.run(
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", timeout_s=1
    )
    ended = ("timeout_interrupted", "timeout_killed", "worker_died")  # where its memory ends first
    assert execution.status in ended
    if execution.state_lost:
        assert "Variables and imports are lost" in (execution.notice or "")
    assert (
        await logs(session, "import subprocess; subprocess.check_output(['echo', 'quiet'])") == "b'quiet\\n'"
    )


DISK_BOMBS = {
    "one file": "f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()",
    "many files": """
        n = 0
        while True:
            n += 1
            open(f"f{n}", "wb").write(bytes(1 << 20))
    """,
    "deep files": """
        import os
        n = 0
        while True:
            n += 1
            os.mkdir("d", 0o700)
            os.chdir("d")
            open("f", "wb").write(bytes(1 << 20))
    """,
    "temporary files": """
        import os
        n = 0
        while True:
            n += 1
            open(os.path.expanduser(f"~/f{n}"), "wb").write(bytes(1 << 20))
    """,
    "deleted files": """
        import os
        held = []
        while True:
            held.append(open("gone", "wb"))
            os.remove("gone")
            held[-1].write(bytes(1 << 20)); held[-1].flush()
    """,
}


@pytest.mark.parametrize("bomb", DISK_BOMBS.values(), ids=DISK_BOMBS.keys())
async def test_the_disk_is_limited(session: Session, kind: Preference, bomb: str) -> None:
    execution = await session.run(textwrap.dedent(bomb), timeout_s=20)
    assert execution.status in ("error", "worker_died"), execution
    if execution.status == "error":
        assert execution.error == "OSError"
    else:
        assert (kind, execution.state_lost) == ("landlock", True)
        assert "disk" in (execution.notice or "")
    await session.reset()
    code = "import os, shutil\nfor entry in os.scandir():\n"
    code += "    shutil.rmtree(entry) if entry.is_dir() else os.remove(entry)\n"
    code += "open('small', 'wb').write(bytes(1 << 20))"
    assert await logs(session, code) == str(MIB)


async def test_a_flood_of_output_stays_small(session: Session) -> None:
    execution = await session.run("while True: print('x' * 100_000)", timeout_s=1)
    assert execution.status in ("timeout_interrupted", "timeout_killed"), execution
    assert len(execution.logs) < LIMITS.output_head_bytes + LIMITS.output_tail_bytes + 4096
    assert "bytes skipped" in execution.logs


async def test_a_flood_of_images_stays_small(session: Session) -> None:
    code = """
        from IPython.display import Image
        for _ in range(100):
            display(Image(b"\\x89PNG" + bytes(1 << 20), format="png"))
    """
    execution = await session.run(textwrap.dedent(code), timeout_s=PATIENT_S)
    assert execution.status == "ok"
    assert sum(map(len, execution.images)) <= LIMITS.event_bytes
    assert "images were not kept" in (execution.notice or "")


# -- getting out


async def test_no_way_to_a_listener_of_the_host(session: Session, tmp_path: Path) -> None:
    path, abstract = str(made(tmp_path / "f", mode=0o644).with_name("listener")), f"\0{uuid4().hex}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as nameless,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(path)
        os.chmod(path, 0o777)  # noqa: PTH101
        nameless.bind(abstract)
        for listener in (unix, nameless):
            listener.listen()
        code = f"""
            import socket
            reached = []
            def attempt(name, family, kind, address):
                try:
                    s = socket.socket(family, kind)
                    s.settimeout(2)
                    s.connect(address)
                    s.send(b"out")
                    reached.append(name)
                except OSError:
                    pass
            attempt("tcp", socket.AF_INET, socket.SOCK_STREAM, {tcp.getsockname()!r})
            attempt("unix", socket.AF_UNIX, socket.SOCK_STREAM, {path!r})
            attempt("abstract", socket.AF_UNIX, socket.SOCK_STREAM, {abstract!r})
            attempt("udp", socket.AF_INET, socket.SOCK_DGRAM, {udp.getsockname()!r})
            attempt("internet", socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80))
            print([name for name in reached if name != "udp"])
        """
        assert await logs(session, textwrap.dedent(code)) == "[]"
        for listener in (tcp, udp, unix, nameless):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener is udp else listener.accept()


async def test_a_socket_pair_leads_nowhere_else(session: Session, tmp_path: Path) -> None:
    path, abstract = str(made(tmp_path / "f", mode=0o644).with_name("listener")), f"\0{uuid4().hex}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless,
    ):
        named.bind(path)
        os.chmod(path, 0o777)  # noqa: PTH101
        nameless.bind(abstract)
        code = f"""
            import socket
            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM, socket.SOCK_RAW):
                for address in ({path!r}, {abstract!r}):
                    for out in (lambda s: s.sendto(b"out", address),
                                lambda s: s.sendmsg([b"out"], [], 0, address),
                                lambda s: (s.connect(address), s.send(b"out"))):
                        try:
                            out(socket.socketpair(socket.AF_UNIX, kind)[0])
                        except OSError:
                            pass
            ours, theirs = socket.socketpair()
            ours.send(b"fine")
            print(theirs.recv(9))
        """
        assert await logs(session, textwrap.dedent(code)) == "b'fine'"
        for receiver in (named, nameless):
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                receiver.recv(1)


async def test_no_exotic_sockets(session: Session) -> None:
    code = """
        import socket
        made = []
        for family in range(1, 46):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                try:
                    socket.socket(family, kind).close()
                    made.append(family)
                except OSError:
                    pass
        print(set(made) <= {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6})
    """
    assert await logs(session, textwrap.dedent(code)) == "True"


async def test_no_secret_of_the_service_can_be_read(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    monkeypatch.setenv("SERVICE_SECRET", "hunter2")
    secret = made(tmp_path / "secret", "hunter2", mode=0o644)
    fresh = await backend.start("thread_after_the_secret")
    code = f"""
        import os
        paths = [{str(secret)!r}, "/etc/shadow", "/proc/{os.getpid()}/environ", "/proc/{os.getpid()}/cmdline",
            "/proc/{os.getpid()}/status", "/proc/1/environ", "/proc/1/mem", f"/proc/{{os.getppid()}}/environ",
            f"/proc/{{os.getppid()}}/mem", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/vda", "/dev/sda",
            "/var/run/docker.sock", "/root/.ssh/id_rsa"]
        for path in paths:
            try:
                fd = os.open(path, os.O_RDONLY)
                if os.read(fd, 1):
                    print("read", path)
            except OSError:
                pass
        for path in ("/root", "/home", {str(tmp_path)!r}, {str(Path(__file__).parent)!r}):
            try:
                print("listed", path) if set(os.listdir(path)) - {{".pyenv"}} else None
            except OSError:
                pass
        print("hunter2" in str(os.environ), b"hunter2" in open("/proc/self/environ", "rb").read())
    """
    try:
        assert await logs(fresh, textwrap.dedent(code)) == "False False"
    finally:
        await fresh.close()


async def test_the_system_is_read_only(session: Session, tmp_path: Path) -> None:
    victim = made(tmp_path / "victim", mode=0o666)
    code = f"""
        import os, sys, IPython
        files = [sys.executable, os.__file__, IPython.__file__, "/usr/bin/env", "/etc/ld.so.cache",
            {str(victim)!r}, "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
            "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/1/oom_score_adj",
            f"/proc/{{os.getppid()}}/oom_score_adj", "/proc/{os.getpid()}/oom_score_adj",
            "/sys/power/state", "/dev/kmsg"]
        for path in files:
            try:
                os.close(os.open(path, os.O_WRONLY))  # opened only
                print("writable", path)
            except OSError:
                pass
        for folder in ("/", "/usr", "/etc", "/usr/lib", sys.prefix, sys.base_prefix,
                       os.path.dirname(os.__file__), {str(tmp_path)!r}, "/proc", "/sys", "/dev", "/opt"):
            try:
                os.mkdir(folder + "/made-by-the-sandbox")
                print("made in", folder)
            except OSError:
                pass
    """
    assert await logs(session, textwrap.dedent(code)) == ""


async def test_metadata_of_the_services_files_stays(session: Session, tmp_path: Path) -> None:
    victim = made(tmp_path / "victim", "data", mode=0o640)
    before = os.stat(victim)  # noqa: PTH116
    code = f"""
        import os
        for action in (lambda p: os.chmod(p, 0o777), lambda p: os.utime(p, (0, 0)),
                       lambda p: os.chown(p, 1, 1), lambda p: os.setxattr(p, "user.x", b"y"),
                       lambda p: os.truncate(p, 0), os.remove, lambda p: os.rename(p, p + "2"),
                       lambda p: os.link(p, "link")):
            try:
                action({str(victim)!r})
            except OSError:
                pass
    """
    await logs(session, textwrap.dedent(code))
    after = os.stat(victim)  # noqa: PTH116
    assert (after.st_mode, after.st_mtime, after.st_size) == (before.st_mode, before.st_mtime, 4)
    assert os.listxattr(victim) == []


async def test_processes_of_the_host_are_out_of_reach(session: Session) -> None:
    victim = sleeper()
    try:
        code = f"""
            import os, resource, signal
            for pid in ({victim.pid}, {os.getpid()}, os.getppid(), 1, -1, -{os.getpgid(0)}):
                for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
                    if pid != -1 or number == signal.SIGTERM:
                        try:
                            os.kill(pid, number)
                        except OSError:
                            pass
            for pid in ({victim.pid}, {os.getpid()}):
                for touch in (lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)),
                              lambda: os.sched_setaffinity(pid, {{0}}),
                              lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)):
                    try:
                        touch()
                        print("touched", pid)
                    except OSError:
                        pass
        """
        before = resource_state(victim.pid)
        execution = await session.run(textwrap.dedent(code), timeout_s=10)
        assert "touched" not in execution.logs
        assert victim.poll() is None
        assert resource_state(victim.pid) == before
    finally:
        victim.kill()
        victim.wait()
    assert await logs(session, "'alive'") == "'alive'"


def resource_state(pid: int) -> tuple[str, int, set[int]]:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return limits, os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)


async def test_dangerous_system_calls_are_refused(session: Session) -> None:
    code = """
        import ctypes, platform
        libc = ctypes.CDLL(None, use_errno=True)
        x86 = platform.machine() == "x86_64"
        calls = {"ptrace": 101 if x86 else 117, "unshare": 272 if x86 else 97, "mount": 165 if x86 else 40,
                 "bpf": 321 if x86 else 280, "io_uring_setup": 425, "userfaultfd": 323 if x86 else 282,
                 "keyctl": 250 if x86 else 219, "memfd_create": 319 if x86 else 279,
                 "setns": 308 if x86 else 268, "shmget": 29 if x86 else 194, "future": 1000,
                 "perf_event_open": 298 if x86 else 241}
        for name, number in calls.items():
            if libc.syscall(number, 0x10000000, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (1, 38):
                print(name, ctypes.get_errno())
        if libc.syscall(56 if x86 else 220, 0x10000000, 0, 0, 0, 0) != -1:
            print("a user namespace")
        if libc.prctl(4, 0, 0, 0, 0) == 0:
            print("hidden from the supervisor")
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        names = "CapInh", "CapPrm", "CapEff", "NoNewPrivs", "Seccomp"
        print({name: status[name].strip() for name in names})
    """
    nothing = "0000000000000000"
    expected = {"CapInh": nothing, "CapPrm": nothing, "CapEff": nothing, "NoNewPrivs": "1", "Seccomp": "2"}
    assert await logs(session, textwrap.dedent(code)) == str(expected)


async def test_sessions_do_not_see_each_other(backend: Backend) -> None:
    first, second = await asyncio.gather(backend.start("thread_a"), backend.start("thread_b"))
    try:
        marker = uuid4().hex
        await logs(first, f"open('mine', 'w').write('{marker}'); import os; here = os.getcwd()")
        here, pid = await logs(first, "here"), await logs(first, "os.getpid()")
        code = f"""
            import os
            found = []
            for folder in ({here}, os.path.dirname({here}), "/tmp", "/dev/shm", "/var/tmp"):
                for parent, _, names in os.walk(folder):
                    for name in names:
                        try:
                            if {marker!r} in open(os.path.join(parent, name), errors="replace").read(100):
                                found.append(parent)
                        except OSError:
                            pass
            print(found)
        """
        assert await logs(second, textwrap.dedent(code)) == "[]"
        if here == await logs(second, "import os; os.getcwd()"):
            return  # namespaces: the same names for different things
        code = f"try:\n    os.kill({pid}, 9); print('killed')\nexcept OSError: pass"
        assert await logs(second, f"import os\n{code}") == ""
        assert await logs(first, "'alive'") == "'alive'"
    finally:
        await asyncio.gather(first.close(), second.close())


# -- breaking the driver

ENDS = {
    "os._exit": "import os; os._exit(0)",
    "abort": "import os; os.abort()",
    "segfault": "import ctypes; ctypes.string_at(1)",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "kill itself": "import os; os.kill(os.getpid(), 9)",
    "close everything": "import os; os.closerange(0, 500)",
    "kill everybody": "import os\ntry: os.kill(-1, 9)\nfinally: os.kill(os.getpid(), 9)",
    "nonsense to the supervisor": "import os, time; os.write(201, b'nonsense' * 100); time.sleep(60)",
    "a list to the supervisor": "import os, time; os.write(201, b'\\0\\0\\0\\2\\1[]'); time.sleep(60)",
    "a giant to the supervisor": "import os, time; os.write(201, b'\\x7f\\xff\\xff\\xff\\2'); time.sleep(60)",
    "die behind a child": "import os, time\nif os.fork(): os._exit(0)\ntime.sleep(60)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_whatever_ends_the_worker_costs_its_variables_only(session: Session, end: str) -> None:
    await logs(session, "open('kept', 'w').close(); x = 1")
    execution = await session.run(end, timeout_s=10)
    assert (execution.status, execution.state_lost) == ("worker_died", True), execution
    assert "Variables and imports are lost; files are kept." in (execution.notice or "")
    assert execution.took_s < 5
    assert await logs(session, "import os; 'x' in globals(), os.listdir()") == "(False, ['kept'])"


LIES = {
    "done": '{"event": "done", "id": ID, "status": "ok"}',
    "strange types": '{"event": "done", "id": ID, "status": [1], "error": {"a": 1}}',
    "another call": '{"event": "done", "id": 999, "status": "ok"}',
    "an unknown event": '{"event": "up"}',
    "an image of nothing": '{"event": "image", "kind": 7}',
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_forged_reports_do_not_confuse_the_host(session: Session, lie: str) -> None:
    code = f"""
        import os, struct
        for number in range(5):
            body = {lie!r}.replace("ID", str(number)).encode()
            os.write(201, struct.pack(">IB", len(body), 1) + body)
    """
    await session.run(textwrap.dedent(code), timeout_s=5)
    await session.run("'settled'", timeout_s=5)  # the lie may come out now, and end the worker
    for number in range(3):
        assert await logs(session, str(number)) == str(number)


async def test_a_stopped_worker_is_woken_and_interrupted(session: Session) -> None:
    execution = await session.run(
        "import os, signal; x = 1; os.kill(os.getpid(), signal.SIGSTOP)", timeout_s=0.5
    )
    assert execution.status in ("timeout_interrupted", "ok")
    assert await logs(session, "x") == "1"


async def test_strays_end_with_their_call(session: Session) -> None:
    marker = uuid4().hex
    code = f"""
        import os, subprocess, sys
        command = [sys.executable, "-c", "import time; time.sleep(600) # {marker}"]
        subprocess.Popen(command)
        subprocess.Popen(command, start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                subprocess.Popen(command)
            os._exit(0)
    """
    await logs(session, textwrap.dedent(code))
    await gone(marker)
    assert await logs(session, "'fine'") == "'fine'"


async def test_links_and_pipes_are_never_followed(session: Session, tmp_path: Path) -> None:
    made(tmp_path / "secret", "hunter2", mode=0o644)
    code = f"""
        import os
        os.symlink("/etc/passwd", "link")
        os.symlink("/etc", "folder")
        os.symlink({str(tmp_path)!r}, "outside")
        os.mkfifo("pipe")
        os.mkdir("directory")
    """
    execution = await session.run(textwrap.dedent(code), timeout_s=PATIENT_S)
    assert execution.files == ()
    for path in (
        "link",
        "folder/passwd",
        "outside/secret",
        "pipe",
        "directory",
        "../x",
        "/etc/passwd",
        "",
        "a\0b",
        ".",
    ):
        with pytest.raises(FileRefused):
            await session.get(path)
    for path in (
        "outside/new",
        "folder/new",
        "../new",
        "/new",
        "directory",
        "pipe/new",
        "x" * 300,
        "a/" * 20 + "b",
    ):
        with pytest.raises(FileRefused):
            await session.put(path, b"data")
    await session.put("link", b"data")  # replaces the link itself
    assert await logs(session, "os.path.islink('link'), open('link').read()") == "(False, 'data')"
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208


async def test_hostile_file_names_are_not_reported(session: Session) -> None:
    code = """
        import os
        for name in (b"a\\nb", b"\\xff\\xfe", b"x" * 255, b"fine"):
            os.close(os.open(name, os.O_CREAT))
    """
    execution = await session.run(textwrap.dedent(code), timeout_s=PATIENT_S)
    assert set(execution.files) == {"fine", "x" * 255}


# -- the owner dies

OWNER = """
import asyncio, sys
from pathlib import Path
from services.tool_code.sandbox.choose import choose_backend
from tests.integration.sandboxes import IMAGE, LIMITS

async def main(backend):
    session = await backend.start("thread_of_the_owner")
    await session.run(sys.argv[3], timeout_s=600, on_output=lambda text: print(text, flush=True))

backend = choose_backend(sys.argv[1], limits=LIMITS, scratch=Path(sys.argv[2]), image=IMAGE, runtime=None)
asyncio.run(main(backend))
"""


async def test_nothing_outlives_a_killed_owner(backend: Backend, kind: Preference, tmp_path: Path) -> None:
    marker = uuid4().hex
    code = f"""
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        command = [sys.executable, "-c", "import time; time.sleep(600) # {marker}"]
        subprocess.Popen(command, start_new_session=True)
        print("up")
        while True: pass
    """

    async def two() -> bool:
        return len(running(marker)) >= 2

    owner = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", OWNER, kind, str(tmp_path), textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert await asyncio.to_thread(owner.stdout.readline) == b"up\n"
        try:
            await eventually(two)  # the owner, and what the code started
        finally:
            owner.send_signal(signal.SIGKILL)
            owner.wait()
    await gone(marker)
