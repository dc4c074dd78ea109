"""A deny filter for the worker, stacked on whatever filter the container brings.

A list of what is allowed breaks harmless numpy on the next glibc, so this is a list of what is not:
ways to new privileges, to other processes, to kernel memory that no limit counts, and to sockets.
"""

import ctypes
import platform
import struct
from dataclasses import dataclass, field

from services.tool_code.sandbox.driver.kernel import LIBC, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, prctl

EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
SUCCESS = 0  # the call is skipped and reports success

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
CLONE_NEW_ANYTHING = 0x7E020080  # every namespace flag of clone(2)
NEWEST_KNOWN = 462  # mseal; younger calls answer ENOSYS until somebody has looked at them

# name: (x86_64, aarch64); None where the machine has no such call
Numbers = dict[str, tuple[int | None, int | None]]

# fmt: off
DENIED: Numbers = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "ioprio_set": (251, 30),
    # namespaces, mounts, the machine
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "syslog": (103, 116), "acct": (163, 89), "personality": (135, 92),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    # wide kernel surface that no notebook needs
    "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "vmsplice": (278, 75), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # memory that belongs to no process, and System V objects that outlive the sandbox
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "msgget": (68, 186), "msgctl": (71, 187), "semget": (64, 190),
    "semctl": (66, 191), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # the same objects made by others: their numbers can be guessed
    "msgsnd": (69, 189), "msgrcv": (70, 188), "semop": (65, 193), "semtimedop": (220, 192),
}
# Landlock does not judge these, and where it is the only wall the code runs as the service's own user:
# a chmod of the service's files would pass. Skipped with success, so that shutil.copy and tarfile work.
SKIPPED: Numbers = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None),
}
DENIED_TO_OWNER: Numbers = {
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    # a socket pair is all that can be made there, and it has no use for names
    "bind": (49, 200), "connect": (42, 203), "listen": (50, 201),
}
ONLY_ON_SELF: Numbers = {  # allowed if the process named by this argument is 0, "me"
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}
# Where Landlock keeps no signal inside: the first three are for the supervisor to judge.
SIGNALS: Numbers = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
OTHER_SIGNALS: Numbers = {
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}
TRUNCATE: Numbers = {"truncate": (76, 45)}
OPENS: dict[str, int] = {"open": 1, "openat": 2}  # which argument has the flags
FORKS: Numbers = {"fork": (57, None), "vfork": (58, None)}
OTHERS: Numbers = {
    "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435),
    "prctl": (157, 167), "setpriority": (141, 140), "ioctl": (16, 29), "fcntl": (72, 25),
    "open": (2, None), "openat": (257, 56), "openat2": (437, 437),
}
# fmt: on
SET_FILE_FLAGS = (0x40086602, 0x401C5820)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR
# Who gets the signal that a pipe or socket is ready, and with F_SETSIG any other signal.
SET_OWNER, SET_OWNER_BY_IOCTL = (8, 15), (0x8901, 0x8902)  # F_SETOWN(_EX); FIOSETOWN, SIOCSPGRP
# Landlock takes opening for neither reading nor writing (3) for harmless, and before ABI 3 cutting, too.
WRITELESS_OPENS, ACCESS_AND_TRUNCATE = (3, 0o1003, 0o1000), 0o1003
STREAM, SEQPACKET, PAIR_FLAGS = 1, 5, 0o2004000  # SOCK_CLOEXEC | SOCK_NONBLOCK

LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
KILL_PROCESS, ALLOW, ASK_SUPERVISOR = 0x80000000, 0x7FFF0000, 0x7FC00000
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16


def answer(code: int) -> int:
    """The filter's verdict "skip the call and return this errno"."""
    return 0x00050000 | code


@dataclass
class Program:
    """A BPF program under construction; every block ends in a verdict or falls through to the next."""

    x86: bool
    instructions: list[tuple[int, int, int, int]] = field(default_factory=list)

    def add(self, code: int, if_true: int, if_false: int, value: int) -> None:
        self.instructions.append((code, if_true, if_false, value))

    def verdict(self, value: int) -> None:
        self.add(RETURN, 0, 0, value)

    def number(self, names: Numbers, name: str) -> int | None:
        return names[name][0 if self.x86 else 1]

    def each(self, names: Numbers, value: int) -> None:
        """One verdict for all calls of a table."""
        for name in names:
            if (number := self.number(names, name)) is not None:
                self.add(EQUAL, 0, 1, number)
                self.verdict(value)

    def judge(self, names: Numbers, name: str, argument: int, passes: tuple[int, ...], code: int) -> None:
        """Allow one call only if the low half of an argument is among ``passes``."""
        number = self.number(names, name)
        if number is None:
            return
        self.add(EQUAL, 0, len(passes) + 3, number)
        self.add(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)
        for index, value in enumerate(passes):
            self.add(EQUAL, len(passes) - index, 0, value)
        self.verdict(answer(code))
        self.verdict(ALLOW)

    def refuse(
        self, name: str, argument: int, values: tuple[int, ...], code: int, mask: int = 0xFFFFFFFF
    ) -> None:
        """Refuse one call if the masked low half of an argument is among ``values``."""
        number = self.number(OTHERS, name)
        if number is None:
            return
        self.add(EQUAL, 0, len(values) + 4, number)
        self.add(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)
        self.add(AND, 0, 0, mask)
        for index, value in enumerate(values):
            self.add(EQUAL, len(values) - index, 0, value)
        self.verdict(ALLOW)
        self.verdict(answer(code))


def build(
    machine: str,
    *,
    sockets: bool,
    owner: bool,
    ask_forks: bool,
    ask_signals: bool = False,
    truncate: bool = True,
) -> bytes:
    """The filter as BPF.

    ``sockets``: unix and internet sockets may be made (the sandbox has a network namespace of its own).
    ``owner``: the code may run as the user whose files it can see, so metadata calls are closed too.
    ``ask_forks``: every fork waits for the supervisor's answer.
    ``ask_signals``: so does every signal, for nothing else keeps them inside.
    ``truncate``: files may be cut by name (somebody else judges which).
    """
    program = Program(x86=machine == "x86_64")
    _judge_machine(program)
    _judge_clone(program, ask_forks)
    if ask_forks:
        program.each(FORKS, ASK_SUPERVISOR)
    if ask_signals:
        _judge_signals(program)
    if not truncate:
        program.each(TRUNCATE, answer(EPERM))
    families = (AF_UNIX, AF_INET, AF_INET6) if sockets else ()
    program.judge(OTHERS, "socket", 0, families, EAFNOSUPPORT)
    if sockets:
        program.judge(OTHERS, "socketpair", 0, (AF_UNIX,), EAFNOSUPPORT)
    else:
        _judge_pairs(program)
    program.judge(OTHERS, "setpriority", 1, (0,), EPERM)
    for name in ONLY_ON_SELF:
        program.judge(ONLY_ON_SELF, name, 0, (0,), EPERM)
    # A process that cannot be inspected could hide its memory and its files from the supervisor.
    program.refuse("prctl", 0, (PR_SET_DUMPABLE,), EPERM)
    if owner:
        _guard_the_owner(program)
    program.each(DENIED, answer(EPERM))
    program.verdict(ALLOW)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program.instructions)


def _judge_machine(program: Program) -> None:
    program.add(LOAD, 0, 0, MACHINE_AT)
    program.add(EQUAL, 1, 0, 0xC000003E if program.x86 else 0xC00000B7)
    program.verdict(KILL_PROCESS)
    program.add(LOAD, 0, 0, NUMBER_AT)
    program.add(AT_LEAST, 0, 1, NEWEST_KNOWN + 1)  # also closes the x32 numbers
    program.verdict(answer(ENOSYS))


def _guard_the_owner(program: Program) -> None:
    program.each(SKIPPED, answer(SUCCESS))
    program.each(DENIED_TO_OWNER, answer(EPERM))
    program.refuse("ioctl", 1, SET_FILE_FLAGS + SET_OWNER_BY_IOCTL, EPERM)
    program.refuse("fcntl", 1, SET_OWNER, EPERM)
    for name, argument in OPENS.items():
        program.refuse(name, argument, WRITELESS_OPENS, EPERM, mask=ACCESS_AND_TRUNCATE)
    # Its flags are behind a pointer; who uses it falls back to openat.
    openat2 = program.number(OTHERS, "openat2")
    assert openat2 is not None
    program.add(EQUAL, 0, 1, openat2)
    program.verdict(answer(ENOSYS))


def _judge_pairs(program: Program) -> None:
    """Unix socket pairs of the connected kinds only: an end of a datagram pair can send to any name."""
    number = program.number(OTHERS, "socketpair")
    assert number is not None
    program.add(EQUAL, 0, 8, number)
    program.add(LOAD, 0, 0, ARGUMENTS_AT)
    program.add(EQUAL, 0, 5, AF_UNIX)
    program.add(LOAD, 0, 0, ARGUMENTS_AT + 8)
    program.add(AND, 0, 0, 0xFFFFFFFF & ~PAIR_FLAGS)
    program.add(EQUAL, 1, 0, STREAM)
    program.add(EQUAL, 0, 1, SEQPACKET)
    program.verdict(ALLOW)
    program.verdict(answer(EAFNOSUPPORT))


def _judge_signals(program: Program) -> None:
    program.each(OTHER_SIGNALS, answer(EPERM))
    kill = program.number(SIGNALS, "kill")
    assert kill is not None
    # 0 is the caller's own group, all of one session, and the worker leads a session of its own.
    program.add(EQUAL, 0, 4, kill)
    program.add(LOAD, 0, 0, ARGUMENTS_AT)
    program.add(EQUAL, 0, 1, 0)
    program.verdict(ALLOW)
    program.verdict(ASK_SUPERVISOR)
    program.each(SIGNALS, ASK_SUPERVISOR)


def _judge_clone(program: Program, ask_forks: bool) -> None:
    clone, clone3 = program.number(OTHERS, "clone"), program.number(OTHERS, "clone3")
    assert clone is not None
    assert clone3 is not None
    # clone3 passes its flags by pointer, which a filter cannot read; libc falls back to clone.
    program.add(EQUAL, 0, 1, clone3)
    program.verdict(answer(ENOSYS))
    program.add(EQUAL, 0, 4, clone)
    program.add(LOAD, 0, 0, ARGUMENTS_AT)
    program.add(ANY_BIT, 0, 1, CLONE_NEW_ANYTHING)
    program.verdict(answer(EPERM))
    program.verdict(ASK_SUPERVISOR if ask_forks else ALLOW)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(code: bytes, *, listen: bool) -> int | None:
    """Put the filter on this process and all it will start; with ``listen``, the descriptor to answer on.

    Raises:
        OSError: the kernel refused; the caller must not run anything.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _FilterProgram(len(code) // 8, ctypes.addressof(buffer))
    seccomp = 317 if platform.machine() == "x86_64" else 277
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER if listen else 0
    result: int = LIBC.syscall(seccomp, SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program))
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp refused the filter")
    return result if listen else None
