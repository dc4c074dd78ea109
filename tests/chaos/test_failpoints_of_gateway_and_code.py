"""Gateway and code worker are killed once at each named place, under load, and nothing is broken."""

from pathlib import Path

import pytest

from tests.chaos import client
from tests.chaos.checker import hold
from tests.chaos.dying import OFTEN, die, places_of
from tests.chaos.lab import laboratory
from tests.chaos.nursery import nursery
from tests.chaos.work import at_work

pytestmark = pytest.mark.timeout(1500)

SEED = 4
QUICKER = {"THREADMILL_KAFKA_SESSION_S": "3"}
WALKERS = 3
WITHIN_S = 900.0


async def test_they_die_at_each_of_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("gateway", "tool_code")
    monkeypatch.setattr(client, "PATIENCE_S", WITHIN_S)  # what dies and dies answers nobody meanwhile
    with nursery(tmp_path):
        async with laboratory(tmp_path / "data", tmp_path / "log", **QUICKER) as lab:
            async with at_work(lab, seed=SEED, walkers=WALKERS, only=OFTEN) as work:
                missed = await die(lab, work, names, within_s=WITHIN_S)
            history = await work.history()
            hold(history)
            assert work.failures == []
            assert missed == []
            assert all(lab.died_at(place) for place in places_of(*names))
            assert len(history.runs) > WALKERS
