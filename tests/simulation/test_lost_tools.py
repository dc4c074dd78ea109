"""No worker is there, and none comes: a tool call is asked for again, then given up, and its run goes on."""

import pytest

from shared.runs.rules import MAX_RINGS, UNANSWERED
from tests.simulation import client, world
from tests.simulation.clock import virtual_time
from tests.simulation.world import World

NO_FAULTS = ("nothing",)
SEED = 8  # the last of its runs is neither cancelled nor expires early


def test_a_run_goes_on_without_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "KINDS", ("gateway", "orchestrator-1", "orchestrator-2"))
    monkeypatch.setattr(client, "SCRIPTS", (["code", "text"],))
    with virtual_time(SEED) as loop:
        made = World(SEED, loop, focus=NO_FAULTS)
        loop.run_until_complete(made.run())
        runs = made.store.table("runs").documents.values()
        requests = [record for partition in made.broker.logs["tool-requests.code.v1"] for record in partition]
    assert made.audit.violations == []
    (run,) = (run for run in runs if run["status"] == "completed")
    outputs = [call["output"] for step in run["steps"] for call in step["calls"]]
    assert outputs == [UNANSWERED]
    assert 300 < run["ended_at"] - run["created_at"] < 400
    assert sum(run["_id"].encode() in record.value for record in requests) == 1 + MAX_RINGS
