"""tool_code is killed at moments of chance.

``TEST_KILLS=200`` for more of them, ``TEST_SEED`` for the same again."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.tool_code.settings import Settings
from shared.kafka import connect_admin, ensure_topics
from shared.stores.database import Database
from tests.eventually import eventually
from tests.integration.killing import Callers, doomed, remains, worker
from tests.integration.tool_asking import asking

KILLS = int(os.environ.get("TEST_KILLS", "8"))
SEED = int(os.environ.get("TEST_SEED", str(random.randrange(10**6))))
DEAD_WITHIN_S = 60.0  # the start, the first request, the death: of a machine that has much else to do
GONE_WITHIN_S = 15.0  # what is left of its sandboxes: a second at most, on a machine that has time


@pytest.fixture
def settings(kafka_bootstrap: str, mongo_url: str, db: Database, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap=kafka_bootstrap,
        kafka_session_s=2.0,
        mongo_url=SecretStr(mongo_url),
        mongo_database=db.name,
        topic_prefix=f"t{uuid4().hex[:8]}.",
        scratch=tmp_path / f"scratch-{uuid4().hex}",
        lease_s=2.0,
    )


async def death_of(process: BaseProcess, mark: str) -> float:
    """Wait for it; return how long anything of its sandboxes lived on, in seconds."""

    async def dead() -> bool:
        return process.exitcode is not None

    async def gone() -> bool:
        return not remains(mark)

    await eventually(dead, within_s=DEAD_WITHIN_S)
    died = time.monotonic()
    assert process.exitcode == -signal.SIGKILL
    await eventually(gone, within_s=GONE_WITHIN_S)
    return time.monotonic() - died


@pytest.fixture(autouse=True)
def no_worker_stays() -> Iterator[None]:
    """One that was to die later, had the test not failed before."""
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_nothing_is_lost_or_done_twice_by_a_worker_that_is_killed(settings: Settings) -> None:
    chance = random.Random(SEED)
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    mark = settings.scratch.name  # in the command line of the drivers, too
    async with asking(settings) as orchestrator:
        callers = Callers(orchestrator, mark, chance)

        async def all_is_well() -> bool:
            assert not callers.wrong, f"seed {SEED}: {callers.wrong}"
            return callers.ran >= enough

        async with callers.calling(threads=3):
            outlived = sorted([await death_of(doomed(settings, chance), mark) for _ in range(KILLS)])
            last, enough = worker(settings), callers.ran + 6
            await eventually(all_is_well, within_s=DEAD_WITHIN_S)
        last.kill()
        last.join()
    sys.stdout.write(
        f"seed {SEED}: {KILLS} deaths, {callers.ran} calls ran, {callers.not_run} told that they did not; "
        f"outlived by {outlived[len(outlived) // 2]:.2f} s, at most by {outlived[-1]:.2f} s\n"
    )
    assert not callers.wrong, f"seed {SEED}: {callers.wrong}"
    assert not callers.told_differently()
