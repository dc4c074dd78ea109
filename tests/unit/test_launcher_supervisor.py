"""Programs kept running: real processes, small ones."""

import contextlib
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.keeper import ProgramError, Restarts
from deploy.local.program import Program, Turn, no_preparation
from deploy.local.supervisor import Supervisor
from tests.eventually import eventually

QUICK = Restarts(first_pause_s=0.05, most_pause_s=0.1)

OBEDIENT = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('here', flush=True)
while True: signal.pause()
"""
TELLING = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('ended', flush=True)))
print('here', flush=True)
signal.pause()
"""
HOPELESS = "import signal; print('a panic: no room', flush=True); signal.pause()"
CRASHING = "import sys; print('no such option', flush=True); sys.exit(3)"
# Starts a process in its own group, tells its pid, and ends.
LITTERING = """
import subprocess, sys
print(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE).pid)
"""


async def ready() -> str:
    return ""


async def never() -> str:
    return "the door is closed"


class Lines(list[tuple[str, str]]):
    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    async def seen(self, name: str, line: str, times: int = 1) -> bool:
        return self.count((name, line)) >= times


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
async def supervisor(lines: Lines) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(lines, QUICK)
    yield supervisor
    supervisor.kill_all()
    await supervisor.stop_all()


def program(
    name: str,
    code: str,
    *,
    probe: Callable[[], Awaitable[str]] = ready,
    prepare: Callable[[], Awaitable[None]] = no_preparation,
    turn: Turn = Turn.SERVICE,
    stop_within_s: float = 10.0,
) -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-S", "-c", code),
        env=dict(os.environ),
        probe=probe,
        turn=turn,
        stop_within_s=stop_within_s,
        prepare=prepare,
    )


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_program_that_dies_is_started_again(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(program("worker", OBEDIENT))
    assert await eventually(lambda: lines.seen("worker", "here"))
    first = supervisor.pid("worker")

    await supervisor.strike("worker")

    assert await eventually(lambda: lines.seen("worker", "here", times=2))
    await supervisor.wait_ready("worker", within_s=30)
    assert supervisor.pid("worker") != first


async def test_a_program_that_gives_up_and_stays_is_killed(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(replace(program("store", HOPELESS), last_word="panic"))

    assert await eventually(lambda: lines.seen("store", "a panic: no room", times=2))


async def test_each_life_is_prepared_before_it_counts_as_ready(supervisor: Supervisor, lines: Lines) -> None:
    prepared: list[int] = []

    async def prepare() -> None:
        prepared.append(supervisor.pid("broker"))

    await supervisor.start(program("broker", OBEDIENT, prepare=prepare))
    await supervisor.wait_ready("broker", within_s=30)
    assert prepared == [supervisor.pid("broker")]

    await supervisor.strike("broker")
    await supervisor.wait_ready("broker", within_s=30)
    assert len(set(prepared)) == 2


async def test_a_program_that_cannot_start_is_given_up(supervisor: Supervisor) -> None:
    await supervisor.start(program("worker", CRASHING, probe=never))

    with pytest.raises(ProgramError) as error:
        await supervisor.wait_ready("worker", within_s=30)

    said = str(error.value)
    assert "worker is not ready: it ended with exit code 3" in said
    assert "no such option" in said
    assert "given up after 3 times in a row" in said


async def test_a_program_that_keeps_dying_is_given_up(supervisor: Supervisor) -> None:
    await supervisor.start(program("worker", CRASHING))

    with pytest.raises(ProgramError, match="given up after 6 times in a row"):
        await supervisor.watch()


async def test_a_program_that_is_not_ready_in_time_is_named(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(program("worker", OBEDIENT, probe=never))
    assert await eventually(lambda: lines.seen("worker", "here"))

    with pytest.raises(ProgramError) as error:
        await supervisor.wait_ready("worker", within_s=0.2)

    assert "worker is not ready: the door is closed\n  its last lines:\n    here" in str(error.value)


async def test_a_missing_command_is_named(supervisor: Supervisor) -> None:
    missing = Program(name="store", command=("no-such-program",), env={}, probe=never)
    await supervisor.start(missing)

    with pytest.raises(ProgramError, match="no-such-program: No such file or directory"):
        await supervisor.wait_ready("store", within_s=30)


async def test_what_others_use_is_stopped_after_them(supervisor: Supervisor, lines: Lines) -> None:
    for name, turn in (("store", Turn.STORE), ("gateway", Turn.SERVICE), ("broker", Turn.BROKER)):
        await supervisor.start(program(name, TELLING, turn=turn))
        assert await eventually(functools.partial(lines.seen, name, "here"))

    await supervisor.stop_all()

    assert [name for name, line in lines if line == "ended"] == ["gateway", "broker", "store"]


async def test_one_that_does_not_obey_is_killed(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(program("worker", STUBBORN, stop_within_s=0.1))
    assert await eventually(lambda: lines.seen("worker", "here"))
    pid = supervisor.pid("worker")

    await supervisor.stop("worker")

    assert not is_alive(pid)


async def test_one_that_is_stopped_stays_stopped(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(program("worker", OBEDIENT))
    await supervisor.stop("worker")

    with pytest.raises(ProgramError, match="worker does not run"):
        supervisor.pid("worker")


async def test_what_a_program_leaves_behind_is_killed(lines: Lines) -> None:
    supervisor = Supervisor(lines, None)
    await supervisor.start(program("worker", LITTERING))

    async def gone() -> bool:
        return bool(lines) and not is_alive(int(lines[0][1]))

    assert await eventually(gone)
    await supervisor.stop_all()


async def test_without_restarts_it_stays_away_until_it_is_started(lines: Lines) -> None:
    supervisor = Supervisor(lines, None)
    await supervisor.start(program("worker", OBEDIENT))
    assert await eventually(lambda: lines.seen("worker", "here"))

    await supervisor.strike("worker")
    with pytest.raises(ProgramError, match="it was ended by SIGKILL"):
        await supervisor.wait_ready("worker", within_s=30)

    await supervisor.start(program("worker", OBEDIENT))
    assert await eventually(lambda: lines.seen("worker", "here", times=2))
    await supervisor.stop_all()


async def test_a_program_is_in_a_session_of_its_own(supervisor: Supervisor, lines: Lines) -> None:
    await supervisor.start(program("worker", OBEDIENT))
    assert await eventually(lambda: lines.seen("worker", "here"))

    assert os.getsid(supervisor.pid("worker")) == supervisor.pid("worker") != os.getsid(0)


async def test_a_paused_program_goes_on_with_the_signal_to_continue(
    supervisor: Supervisor, lines: Lines
) -> None:
    await supervisor.start(program("worker", OBEDIENT))
    assert await eventually(lambda: lines.seen("worker", "here"))

    supervisor.signal("worker", signal.SIGSTOP)
    supervisor.signal("worker", signal.SIGCONT)
    with contextlib.suppress(ProgramError):
        await supervisor.stop("worker")

    with pytest.raises(ProgramError):
        supervisor.pid("worker")
