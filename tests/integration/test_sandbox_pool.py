"""Sandboxes kept warm: handed out once, each as closed as a cold one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import PROBE, WALLS
from services.tool_code.sandbox.errors import SandboxStartFailed
from services.tool_code.sandbox.pool import Pool
from services.tool_code.sandbox.session import Session
from shared.tasks import in_background
from tests.eventually import eventually
from tests.integration.sandboxes import KINDS, PATIENT_S, logs, started

LOADED = "import sys; [name in sys.modules for name in ('numpy', 'pandas', 'matplotlib.pyplot')]"


class Counting:
    """A backend that counts what it starts, and can be made to fail."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.description = backend.name, backend.description
        self.started: list[str] = []
        self.broken = False
        self._backend = backend

    async def start(self, session_id: str) -> Session:
        self.started.append(session_id)
        if self.broken:
            raise SandboxStartFailed("broken for the test")
        return await self._backend.start(session_id)

    async def close(self) -> None:
        await self._backend.close()


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with started(request.param, tmp_path_factory.mktemp("scratch")) as backend:
        yield backend


@pytest.fixture
def counting(backend: Backend) -> Counting:
    return Counting(backend)


@pytest.fixture
async def pool(counting: Counting) -> AsyncIterator[Pool]:
    pool = Pool(counting, 1)
    async with in_background(pool.run()):
        yield pool
    await pool.close()


async def warmed(pool: Pool) -> None:
    async def ready() -> bool:
        return pool.ready == 1

    await eventually(ready, within_s=PATIENT_S)


async def test_a_warm_sandbox_has_the_libraries_and_all_walls(pool: Pool, counting: Counting) -> None:
    await warmed(pool)
    session = await pool.start("thread_1")
    try:
        assert session.session_id == "thread_1"
        assert await logs(session, LOADED) == "[True, True, True]"
        assert await logs(session, PROBE) == WALLS
        drawn = await session.run("import matplotlib.pyplot as p; p.plot([1]); p.show()", timeout_s=PATIENT_S)
        assert len(drawn.images) == 1
        assert await logs(session, "import os; os.listdir()") == "[]"
    finally:
        await session.close()


async def test_each_goes_to_one_thread_and_is_replaced(pool: Pool, counting: Counting) -> None:
    await warmed(pool)
    first = await pool.start("thread_1")
    await logs(first, "x = 1")
    second = await pool.start("thread_2")  # warm by now or not: never the other's
    try:
        assert (await second.run("x", timeout_s=PATIENT_S)).error == "NameError"
        await warmed(pool)
        assert counting.started.count("warm") in (2, 3)
    finally:
        await first.close()
        await second.close()


async def test_one_that_died_while_it_waited_is_passed_over(pool: Pool, counting: Counting) -> None:
    await warmed(pool)
    await pool.warm[0].close()
    session = await pool.start("thread_1")
    try:
        assert await logs(session, "1+1") == "2"
    finally:
        await session.close()


async def test_what_keeps_a_sandbox_from_getting_warm_does_not_stop_the_others(
    backend: Backend, counting: Counting
) -> None:
    async def asked() -> bool:
        return "warm" in counting.started

    counting.broken = True
    pool = Pool(counting, 1)
    async with in_background(pool.run()):
        await eventually(asked)
        with pytest.raises(SandboxStartFailed):
            await pool.start("thread_1")
        counting.broken = False
        await warmed(pool)
    await pool.close()
