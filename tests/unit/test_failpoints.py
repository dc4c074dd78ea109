"""The places where tests make a process die."""

import ast
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared import failpoints
from shared.failpoints import PLACES, SLEEP_S, FailpointError, failpoint
from shared.settings import ServiceSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_every_place_is_in_the_code_once() -> None:
    called: Counter[str] = Counter()
    for top in ("services", "shared"):
        for path in ROOT.glob(f"{top}/**/*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                    assert isinstance(node.args[0], ast.Constant)
                    called[str(node.args[0].value)] += 1
    assert called == Counter(PLACES)
    assert len(PLACES) >= 40


def test_nothing_happens_where_nothing_is_armed() -> None:
    for place in PLACES:
        failpoint(place)
    failpoints.arm("orchestrator.settled:1:error")
    failpoint("orchestrator.claimed")


def test_an_error_comes_the_nth_time_and_only_then() -> None:
    failpoints.arm("orchestrator.claimed:2:error,orchestrator.claimed:4:error,tool_code.code_ran:1:error")
    raised = []
    for time in range(1, 6):
        try:
            failpoint("orchestrator.claimed")
        except FailpointError:
            raised.append(time)
    assert raised == [2, 4]
    with pytest.raises(FailpointError, match=r"tool_code\.code_ran"):
        failpoint("tool_code.code_ran")


def test_a_pause_stops_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("shared.failpoints.time.sleep", slept.append)
    failpoints.arm("orchestrator.claimed:1:sleep")
    failpoint("orchestrator.claimed")
    assert slept == [SLEEP_S]


def test_a_kill_is_a_kill() -> None:
    program = (
        "from shared import failpoints as f; f.arm('publisher.delivered:1:kill');"
        "f.failpoint('publisher.delivered'); print('alive')"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize("faults", ["no.such:1:kill", "orchestrator.claimed", "orchestrator.claimed:0:kill"])
def test_a_service_does_not_start_with_what_it_cannot_read(faults: str) -> None:
    with pytest.raises(ValidationError, match="known place"):
        ServiceSettings(failpoint=faults)
