"""The store's time is everybody's, whatever a machine's own clock says."""

import time
from collections.abc import Iterator

import pytest

from shared import clock

HOURS_S = 7200.0


class Machine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock_s, self.running_s = 1_000_000.0, 500.0
        monkeypatch.setattr(time, "time", lambda: self.clock_s)
        monkeypatch.setattr(time, "monotonic", lambda: self.running_s)

    def waits(self, seconds: float) -> None:
        self.clock_s += seconds
        self.running_s += seconds

    def hears(self, store_s: float, *, way_s: float = 0.01) -> float:
        """The store's answer, which said ``store_s`` in the middle of the way there and back."""
        self.waits(way_s)
        return clock.agree(store_s, self.running_s - way_s, self.running_s)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield Machine(monkeypatch)
    clock.forget()


def test_the_machine_s_own_clock_counts_until_a_store_was_heard(machine: Machine) -> None:
    assert clock.now() == machine.clock_s


@pytest.mark.parametrize("off_s", [HOURS_S, -HOURS_S, 1.5])
def test_a_clock_that_is_wrong_is_left_for_the_store_s(machine: Machine, off_s: float) -> None:
    assert machine.hears(machine.clock_s + off_s) == pytest.approx(off_s, abs=0.01)
    machine.waits(10.0)
    assert clock.now() == pytest.approx(machine.clock_s + off_s, abs=0.01)
    assert machine.hears(machine.clock_s + off_s) == 0.0


@pytest.mark.parametrize(("off_s", "way_s"), [(0.9, 0.0), (-0.9, 0.0), (2.9, 4.0)])
def test_what_may_be_the_way_or_the_clocks_grain_changes_nothing(
    machine: Machine, off_s: float, way_s: float
) -> None:
    assert machine.hears(machine.clock_s + way_s / 2 + off_s, way_s=way_s) == 0.0
    assert clock.now() == pytest.approx(machine.clock_s)


def test_a_step_of_the_machine_s_clock_does_not_show(machine: Machine) -> None:
    machine.hears(machine.clock_s)
    before = clock.now()
    machine.clock_s += HOURS_S
    machine.waits(5.0)
    assert clock.now() == pytest.approx(before + 5.0)
    assert machine.hears(before + 5.0) == 0.0


def test_a_store_whose_clock_is_set_right_is_followed(machine: Machine) -> None:
    machine.hears(machine.clock_s - HOURS_S)
    assert machine.hears(machine.clock_s) == pytest.approx(HOURS_S, abs=0.05)
    assert clock.now() == pytest.approx(machine.clock_s, abs=0.05)
