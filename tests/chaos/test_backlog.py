"""Runs that were made while nobody was there to work on them: they are all worked off."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.about_runs import ENDS
from tests.chaos.checker import hold
from tests.chaos.history import Op
from tests.chaos.lab import laboratory
from tests.chaos.nursery import nursery
from tests.chaos.walks import CODE, Walker
from tests.chaos.work import RECOVERY_S, at_work

pytestmark = pytest.mark.timeout(600)

RUNS, WITH_CODE = 200, 20
AT_ONCE = 20
AWAY = ("run_orchestrator", "tool_code")


async def test_orchestrator_and_tools_come_back_to_200_runs(tmp_path: Path) -> None:
    runs: list[Op] = []
    ends: Counter[str] = Counter()

    async def make(walker: Walker) -> None:
        models = {"echo": [], "chaos-code": [CODE]}
        for model, tools in models.items():
            await walker.assistant(model, *tools)
        few = asyncio.Semaphore(AT_ONCE)

        async def begin(model: str) -> Op:
            async with few:
                return await walker.client.run(*await walker.begin(model, *models[model], says=0))

        wanted = ["chaos-code"] * WITH_CODE + ["echo"] * (RUNS - WITH_CODE)
        runs.extend(await asyncio.gather(*map(begin, wanted)))

    async def see_ends(walker: Walker) -> None:
        for run in runs:  # one after the other: most have ended by then
            now = await walker.client.watch(run.thread_id, run.run_id, until=ENDS.__contains__)
            ends[now["status"]] += 1

    with nursery(tmp_path):
        async with laboratory(tmp_path / "data", tmp_path / "log", THREADMILL_RUN_EXPIRY_S="600") as lab:
            async with at_work(lab, seed=39, walkers=1, most=0) as work:
                async with lab.disturbance(RECOVERY_S):
                    await asyncio.gather(*map(lab.kill, AWAY))
                    await work.take(make)
                    await asyncio.gather(*map(lab.start, AWAY))
                await work.take(see_ends)
            hold(await work.history())
    assert work.failures == []
    assert ends == {"completed": RUNS}
