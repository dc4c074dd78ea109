"""Start of the driver: give up rights, put up walls, then fork what runs the code.

The host starts it as ``python -I -B -c START policy``; everything is decided by that one argument.
"""

# Descriptors and /proc, in a process that imports as little as it can: no pathlib.
# ruff: noqa: PTH120

import gc
import os
import shutil
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from services.tool_code.sandbox.driver import kernel, processes
from services.tool_code.sandbox.driver.policy import Policy

IGNORED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGQUIT,
    signal.SIGPIPE,
)
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # BLAS threads eat the process limit
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PIP_NO_INDEX": "1",  # there is no network: it need not try for a minute
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def main() -> NoReturn:
    """Never returns: it serves until the host closes standard input."""
    policy = Policy.from_json(sys.argv[1])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _give_up_rights(policy)
    os.umask(0o077)
    host_in, host_out = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # a stray print must not land between frames
    _prepare_home(policy)

    from services.tool_code.sandbox.driver.shell import build_shell
    from services.tool_code.sandbox.driver.supervisor import Supervisor

    shell = build_shell()
    gc.collect()
    gc.freeze()  # keeps the pages of the shell shared with the workers
    supervisor = Supervisor(policy, shell, host_in, host_out)
    supervisor.serve()


def _give_up_rights(policy: Policy) -> None:
    if policy.reach:
        kernel.reach(policy.reach)
    if policy.uid is not None:
        kernel.drop_user(policy.uid)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if policy.readable is not None:
        from services.tool_code.sandbox.driver import domain

        if not domain.enter_scope(policy.abi):
            processes.expect_no_border()
        _leave_guard()
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        folders = (policy.data_dir, policy.home_dir)
        domain.enter(policy.readable, folders, processes=True, abi=policy.abi)
    else:
        kernel.die_with_parent()  # dropping the user has cleared it
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # closes /proc/<us>/mem and fd to code of the same user


def _leave_guard() -> None:
    """Go on in a child; the parent only waits, and cleans up when the supervisor is gone.

    Without a process namespace nobody else would kill the worker's children then.
    """
    supervisor = os.fork()
    if supervisor == 0:
        return
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.closerange(0, 3)
    with suppress(OSError):
        os.waitpid(supervisor, 0)
    processes.kill_all()
    os._exit(0)


def _prepare_home(policy: Policy) -> None:
    os.environ.clear()
    os.environ.update(
        ENVIRONMENT,
        PATH=f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin",
        HOME=policy.home_dir,
        TMPDIR=policy.home_dir,
        IPYTHONDIR=f"{policy.home_dir}/.ipython",
        MPLCONFIGDIR=f"{policy.home_dir}/.matplotlib",
    )
    if policy.font_cache:
        with suppress(OSError):
            shutil.copytree(policy.font_cache, f"{policy.home_dir}/.matplotlib")
