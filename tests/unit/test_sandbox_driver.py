"""The parts of the driver that need no sandbox around them."""

import os
import platform
import re
import struct
from pathlib import Path

import pytest

from services.tool_code.sandbox.driver import frames, seccomp
from services.tool_code.sandbox.driver.files import Folder
from services.tool_code.sandbox.driver.kernel import first_closed
from services.tool_code.sandbox.driver.output import Output
from services.tool_code.sandbox.driver.policy import Policy
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.runtime import policy_for

HEADERS = {0: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 1: "/usr/include/asm-generic/unistd.h"}
LD, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06
X86 = 0xC000003E
EPERM, OK, ASK = 0x00050001, 0x7FFF0000, 0x7FC00000


def verdict(code: bytes, number: int, *arguments: int, machine: int = X86) -> int:
    """Run a filter as the kernel would."""
    data = struct.pack("=IIQ6Q", number, machine, 0, *(*arguments, *[0] * (6 - len(arguments))))
    program = list(struct.iter_unpack("=HBBI", code))
    at = accumulator = 0
    while True:
        kind, if_true, if_false, value = program[at]
        at += 1
        match kind:
            case 0x06:
                return int(value)
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false


OPEN = seccomp.build("x86_64", sockets=True, owner=False, ask_forks=False)
CLOSED = seccomp.build("x86_64", sockets=False, owner=True, ask_forks=True)
OLD = seccomp.build(
    "x86_64", sockets=False, owner=True, ask_forks=True, ask_signals=True, truncate=False
)  # Landlock before ABI 3


@pytest.mark.parametrize(
    ("call", "in_open", "in_closed"),
    [
        ((0,), OK, OK),  # read
        ((101,), EPERM, EPERM),  # ptrace
        ((41, 2), OK, 0x00050061),  # socket(AF_INET)
        ((41, 1), OK, 0x00050061),  # socket(AF_UNIX)
        ((41, 16), 0x00050061, 0x00050061),  # socket(AF_NETLINK)
        ((53, 1, 1), OK, OK),  # socketpair(AF_UNIX, SOCK_STREAM)
        ((53, 1, 0o2004005), OK, OK),  # SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK
        ((53, 1, 2), OK, 0x00050061),  # SOCK_DGRAM
        ((53, 1, 0o2000003), OK, 0x00050061),  # SOCK_RAW, which means SOCK_DGRAM
        ((42, 3), OK, EPERM),  # connect
        ((72, 3, 8), OK, EPERM),  # fcntl(F_SETOWN)
        ((72, 3, 4), OK, OK),  # fcntl(F_SETFL)
        ((16, 3, 0x8901), OK, EPERM),  # ioctl(FIOSETOWN)
        ((2, 0, 0o1000), OK, EPERM),  # open(O_RDONLY | O_TRUNC)
        ((257, 0, 0, 0o2001000), OK, EPERM),  # openat(O_RDONLY | O_TRUNC | O_CLOEXEC)
        ((257, 0, 0, 0o2000003), OK, EPERM),  # openat, neither reading nor writing
        ((257, 0, 0, 0o2001101), OK, OK),  # openat(O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)
        ((257, 0, 0, 0o2000000), OK, OK),  # openat(O_RDONLY | O_CLOEXEC)
        ((437,), OK, 0x00050026),  # openat2
        ((62, 1), OK, OK),  # kill
        ((53, 30), 0x00050061, 0x00050061),  # socketpair(AF_TIPC)
        ((56, 0x11), OK, ASK),  # clone: fork
        ((56, 0x10000000), EPERM, EPERM),  # clone: user namespace
        ((57,), OK, ASK),  # fork
        ((435,), 0x00050026, 0x00050026),  # clone3
        ((90,), OK, 0x00050000),  # chmod
        ((302, 0), OK, OK),  # prlimit64 of itself
        ((302, 77), EPERM, EPERM),  # prlimit64 of another
        ((157, 4), EPERM, EPERM),  # prctl(PR_SET_DUMPABLE)
        ((157, 15), OK, OK),  # prctl(PR_SET_NAME)
        ((16, 0, 0x40086602), OK, EPERM),  # ioctl(FS_IOC_SETFLAGS)
        ((16, 0, 0x5401), OK, OK),  # ioctl(TCGETS)
        ((470,), 0x00050026, 0x00050026),  # younger than the filter
        ((0x40000000,), 0x00050026, 0x00050026),  # x32
    ],
)
def test_the_filter_decides(call: tuple[int, ...], in_open: int, in_closed: int) -> None:
    assert (verdict(OPEN, *call), verdict(CLOSED, *call)) == (in_open, in_closed)


def test_another_machines_calls_end_the_process() -> None:
    assert verdict(OPEN, 0, machine=0x40000003) == 0x80000000


@pytest.mark.parametrize("column", HEADERS, ids=["x86_64", "aarch64"])
def test_the_numbers_are_the_kernels(column: int) -> None:
    header = Path(HEADERS[column])
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)"
    kernel = {name: int(number) for name, number in re.findall(pattern, header.read_text())}
    tables = (seccomp.DENIED, seccomp.SKIPPED, seccomp.DENIED_TO_OWNER, seccomp.ONLY_ON_SELF)
    for table in (*tables, seccomp.FORKS, seccomp.OTHERS):
        for name, numbers in table.items():
            if name in kernel:
                assert (name, numbers[column]) == (name, kernel[name])


def test_frames_come_out_as_they_went_in() -> None:
    ours, theirs = os.pipe()
    reader = frames.FrameReader(ours, max_bytes=1000)
    data = frames.pack({"event": "x", "name": "a\udcff"}, b"bytes")
    for cut in (data[:3], data[3:20], data[20:]):
        os.write(theirs, cut)
        reader.feed()
        found = list(reader.frames())
    assert [kind for kind, _ in found] == [frames.JSON, frames.BYTES] or found[-1] == (frames.BYTES, b"bytes")
    os.write(theirs, struct.pack(">IB", 1001, 1))
    reader.feed()
    with pytest.raises(ValueError, match="1001"):
        list(reader.frames())
    os.close(theirs)
    with pytest.raises(EOFError):
        reader.feed()
    os.close(ours)


@pytest.mark.parametrize("payload", [b"[]", b"1", b"{", b"\xff", b"[" * 100_000])
def test_only_objects_are_messages(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        frames.parse(payload)


@pytest.mark.parametrize("sizes", [[5], [10, 10], [15] * 9, [100], [1] * 40])
def test_output_keeps_head_and_tail(sizes: list[int]) -> None:
    sent: list[tuple[object, bytes]] = []
    output = Output(10, 8, lambda message, data: sent.append((message.get("skipped", 0), data)))
    text = bytes(index % 251 for index in range(sum(sizes)))
    at = 0
    for size in sizes:
        output.add(text[at : at + size])
        at += size
    output.finish()
    skipped = sum(int(str(count)) for count, _ in sent)
    kept = b"".join(data for _, data in sent)
    assert skipped == max(0, len(text) - 18)
    assert kept == (text if len(text) <= 18 else text[:10] + text[-8:])


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "..", "a/../b", "a//b", "./a", "a\0b", "x" * 256, "a/" * 9 + "b"]
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    folder = Folder(str(tmp_path))
    with pytest.raises(ValueError, match="path"):
        folder.write(path, b"")
    with pytest.raises(ValueError, match="path"):
        folder.read(path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    folder = Folder(str(root))
    for path in ("folder/secret", "file"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            folder.read(path)
    with pytest.raises(OSError, match="Not a directory"):
        folder.write("folder/new", b"")
    folder.write("file", b"new")
    assert (outside / "secret").read_text() == "secret"
    assert folder.changes().written == [("file", 3)]


def test_the_first_folder_closed_to_strangers_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    found = first_closed(str(tmp_path / "closed" / "inner"))
    assert found is not None
    assert str(tmp_path / "closed").startswith(found)
    assert first_closed("/usr/bin") is None


def test_a_policy_survives_the_command_line() -> None:
    policy = policy_for(
        Limits(),
        data_dir="/d",
        home_dir="/h",
        process_cap="notify",
        uid=7,
        font_cache=None,
        readable=("/usr",),
    )
    assert Policy.from_json(policy.to_json()) == policy


def test_the_filter_can_be_built_for_this_machine() -> None:
    assert len(seccomp.build(platform.machine(), sockets=True, owner=True, ask_forks=True)) % 8 == 0


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ((62, 0), OK),  # kill: the own group
        ((62, 1), ASK),
        ((62, 0xFFFFFFFF), ASK),  # everybody
        ((62, 1 << 32), OK),  # the kernel looks at the low half only, too
        ((200, 1), ASK),  # tkill
        ((234, 1, 1), ASK),  # tgkill
        ((129, 1), EPERM),  # rt_sigqueueinfo
        ((297, 1), EPERM),  # rt_tgsigqueueinfo
        ((424, 3), EPERM),  # pidfd_send_signal
        ((76, 0), EPERM),  # truncate
        ((77, 3), OK),  # ftruncate
        ((53, 1, 1), OK),  # what comes after these blocks
        ((101,), EPERM),
    ],
)
def test_the_filter_stands_in_for_an_old_landlock(call: tuple[int, ...], found: int) -> None:
    assert verdict(OLD, *call) == found
