"""``python -m services.tool_retrieval.parsing.child NAME IN OUT``: reads one file, and ends.

What it reads may be made to break it. So it has limits of time, memory and output, opens no socket, and
leaves with its parent.
"""

import ctypes
import json
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

from services.tool_retrieval.parsing.errors import ParseError
from services.tool_retrieval.parsing.formats import HEADED, check, format_of
from services.tool_retrieval.parsing.text import check_length, decode

CPU_S = 60
MEMORY_BYTES = 2 << 30  # of addresses: libraries reserve more than they use
OUTPUT_BYTES = 256 << 20
HEAD_BYTES = 2048

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER_MODE = 1, 38, 22, 2
SOCKETS = {"x86_64": (0xC000003E, (41, 425)), "aarch64": (0xC00000B7, (198, 425))}  # socket, io_uring_setup
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000


def main(filename: str, source: Path, target: Path) -> int:
    _confine()
    try:
        found = parse(filename, source)
    except ParseError as error:
        found = {"code": error.code, "message": error.message}
    except MemoryError:
        found = {"code": "invalid_file", "message": "The file needs too much memory to be read."}
    target.write_text(json.dumps(found))
    return 0


def parse(filename: str, source: Path) -> dict[str, object]:
    """Return ``text``, the ``pages`` or None, and whether it has ``headings``."""
    kind = format_of(filename)
    with source.open("rb") as file:
        check(filename, file.read(HEAD_BYTES))
    pages = None
    if kind in ("text", "markdown"):
        text = decode(source.read_bytes())
    else:
        from services.tool_retrieval.parsing import documents

        if kind == "pdf":
            text, pages = documents.pdf(source)
        else:
            text = documents.office(source, filename)
    check_length(text)  # here, so that the service never holds it
    return {"text": text, "pages": pages, "headings": kind in HEADED}


def _confine() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES, OUTPUT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if platform.machine() in SOCKETS:
        _forbid_sockets(libc, *SOCKETS[platform.machine()])


def _forbid_sockets(libc: ctypes.CDLL, arch: int, calls: tuple[int, ...]) -> None:
    """Let the kernel refuse the calls that open one; of another architecture's calls, all."""
    load_arch, load_call = (0x20, 0, 0, 4), (0x20, 0, 0, 0)
    program = [load_arch, (0x15, 1, 0, arch), (0x06, 0, 0, KILL), load_call]
    for left, call in zip(range(len(calls), 0, -1), calls, strict=True):
        program.append((0x15, left, 0, call))
    program += [(0x06, 0, 0, ALLOW), (0x06, 0, 0, DENY)]
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER_MODE, header, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel does not confine this process")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
