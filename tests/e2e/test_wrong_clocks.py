"""Processes whose clocks are two hours off work beside right ones: all go by the store's."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from shared.stores.database import Document, connect
from tests.e2e.api import Api, Json
from tests.eventually import eventually
from tests.model_script import Gate, Reply, call, code, say
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(600)

LIES = Path(__file__).parents[1] / "wrong_clock"
FIRST, SECOND = "run_orchestrator", "run_orchestrator-2"
PATIENT = {"THREADMILL_LEASE_S": "60"}  # so that nobody's is over because the machine is busy
SWEEPS_S = 2.0  # some of them
CODE: Json = {"type": "code_interpreter"}
RIGHT_S = 1000.0  # less than any clock is off here


@pytest.fixture
def stack(scripted: BackgroundStack) -> Iterator[BackgroundStack]:
    """As it was, at the end."""
    yield scripted
    with suppress(ProgramError):
        scripted.stop(SECOND)
    with ThreadPoolExecutor() as at_once:
        list(at_once.map(scripted.start, (FIRST, "gateway")))


@pytest.mark.parametrize("off_s", [7200, -7200])
async def test_nobody_notices_a_gateway_and_an_orchestrator_with_wrong_clocks(
    stack: BackgroundStack, model: ModelServer, off_s: int
) -> None:
    wrong = {"PYTHONPATH": str(LIES), "TEST_CLOCK_OFF_S": str(off_s)}
    name, gate = f"model-{uuid4().hex[:8]}", Gate()
    model.script(*[Reply(deltas=("slow ", "answer"), gate=gate, gate_before=1)] * 6, model=f"{name}-slow")
    model.script(call(code("print(6 * 7)")), say("42"), model=f"{name}-code")

    async def asked(times: int) -> bool:
        return sum(request.model == f"{name}-slow" for request in model.requests) >= times

    with Api(stack.base_url, stack.api_key) as api:
        slow, coding = api.assistant(f"{name}-slow"), api.assistant(f"{name}-code", tools=[CODE])
        await asyncio.to_thread(stack.start, FIRST, {**PATIENT, **wrong})
        runs = [api.run(api.thread("Hello"), slow) for _ in range(2)]
        await eventually(lambda: asked(2), within_s=60)
        await asyncio.gather(
            asyncio.to_thread(stack.start, SECOND, PATIENT), asyncio.to_thread(stack.start, "gateway", wrong)
        )
        runs += [api.run(api.thread("Hello"), slow) for _ in range(4)]
        runs += [api.run(api.thread("Hello"), coding)]
        await eventually(lambda: asked(6), within_s=60)
        await asyncio.sleep(SWEEPS_S)  # now, who takes another's lease for lapsed takes over what it holds
        gate.open()
        for run in runs:
            assert abs(run["created_at"] - time.time()) < RIGHT_S
            await api.completes(run, within_s=60)
    stored = await stored_runs(stack.mongo_url, runs)
    assert [(run["status"], run["attempt"]) for run in stored] == [("completed", 0)] * 7
    assert not await asked(7)
    assert all(abs(run["ended_at"] - time.time()) < RIGHT_S for run in stored)


async def stored_runs(mongo_url: str, runs: list[Json]) -> list[Document]:
    client: Any = connect(mongo_url, "admin").client
    found = []
    for database in await client.list_database_names():
        found += [
            document
            for run in runs
            if (document := await client[database]["runs"].find_one({"_id": run["id"]}))
        ]
    client.close()
    return found
