"""What bounds the orchestrator: how often a run may lose its owner, and how many it works on at once."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.gateway.lag import lag_of
from shared.runs.facts import Claimed
from shared.runs.rules import MAX_TAKE_OVERS, advance
from shared.stores.database import Database
from shared.topics import RUN_COMMANDS
from tests.eventually import eventually
from tests.integration.orchestrators import orchestrator, orchestrator_settings
from tests.model_script import Gate, say
from tests.model_server import ModelServer


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def test_a_run_that_each_owner_dies_of_fails(
    kafka_bootstrap: str, mongo_url: str, db: Database, model: ModelServer
) -> None:
    settings = orchestrator_settings(kafka_bootstrap, mongo_url, db, model)
    async with orchestrator(settings, db) as client:
        run = await client.create_run(ring=False)
        for n in range(MAX_TAKE_OVERS + 1):
            then = time.time() - 1000 + 10 * n
            before, run = run, advance(run, Claimed(f"dead {n}", max(then, run.wake_at), 1.0))
            run = run.evolve(wake_at=then + 1)
            run = await client.runs.save(before, run)
        assert (run.attempt, run.status) == (MAX_TAKE_OVERS, "in_progress")
        ended = await client.until(run, "failed")
    assert ended.outcome is not None
    assert ended.outcome.last_error is not None
    assert ended.outcome.last_error.code == "server_error"
    assert model.requests == [], "nobody asks the model once more"


async def test_at_capacity_a_run_is_left_where_it_is_and_another_replica_takes_it(
    kafka_bootstrap: str, mongo_url: str, db: Database, model: ModelServer
) -> None:
    settings = orchestrator_settings(kafka_bootstrap, mongo_url, db, model, concurrent_turns=1)
    gate = Gate()
    model.script(replace(say("slow"), gate=gate, gate_before=0))
    async with orchestrator(settings, db) as client:
        busy = await client.create_run()
        await gate.reached(within_s=60)
        waiting = await client.create_run()

        async def left() -> bool:
            lag = await lag_of(settings, RUN_COMMANDS)
            return lag is not None and lag["records"] > 0

        await eventually(left, within_s=60)
        found = await client.runs.get(waiting.id)
        assert found is not None
        assert (found.status, found.epoch) == ("queued", 0)
        async with orchestrator(settings, db):
            await client.until(waiting, "completed")
            assert await client.until(busy, "in_progress")
        gate.open()
        await client.until(busy, "completed")
