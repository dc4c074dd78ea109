"""One stack for all the faults of a module; after each the checker looks at all that has happened so far."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import walks
from tests.chaos.checker import hold
from tests.chaos.lab import Lab, laboratory
from tests.chaos.nursery import nursery
from tests.chaos.work import AtWork, Work, at_work

SEED = 12
LOAD: dict[walks.Walk, float] = {
    walks.one_run: 3,
    walks.streamed: 2,
    walks.with_code: 1,
    walks.with_functions: 1,
    walks.cancelled: 1,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    folder = tmp_path_factory.mktemp("chaos")
    with nursery(folder):
        async with laboratory(folder / "data", folder / "log") as lab:
            yield lab


@pytest_asyncio.fixture(loop_scope="module")
async def working(lab: Lab) -> AsyncIterator[AtWork]:
    """``async with working() as work``: clients work during the block, and come to their end after it."""
    kept: list[Work] = []
    yield lambda: at_work(lab, seed=SEED, walkers=4, only=LOAD, kept=kept)
    await lab.make_whole()
    for work in kept:
        assert work.failures == []
        hold(await work.history())
