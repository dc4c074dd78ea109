"""Very many streams are open when their gateway dies: each of them comes back, and hears everything once."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from tests.e2e.api import Api
from tests.e2e.follower import Follower
from tests.e2e.test_durability import gated, start
from tests.eventually import eventually
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(300)

RUNS, READERS = 10, 50  # of each run
BEFORE, AFTER = "What was said before. ", "What was said after."
WITHIN_S = 100.0


@pytest.fixture
def stack(scripted: BackgroundStack) -> Iterator[BackgroundStack]:
    yield scripted
    with suppress(ProgramError):
        if not scripted.is_ready("gateway"):
            scripted.start("gateway")


async def test_500_streams_outlive_their_gateway(stack: BackgroundStack, model: ModelServer) -> None:
    name = f"model-{uuid4().hex[:8]}"
    gate, reply = gated(BEFORE, AFTER, before=2)
    model.script(*[reply] * RUNS, model=name)
    with Api(stack.base_url, stack.api_key) as api:
        runs = [api.post(*start(api, name)) for _ in range(RUNS)]
        followers = [Follower(stack.base_url, api.headers, run) for run in runs for _ in range(READERS)]
    following = [asyncio.create_task(follower.follow()) for follower in followers]

    async def all_hear() -> bool:
        return all(follower.text == BEFORE for follower in followers)

    async def all_are_cut() -> bool:
        return all(follower.breaks for follower in followers)

    try:
        await eventually(all_hear, within_s=WITHIN_S)
        await asyncio.to_thread(stack.kill, "gateway")
        await eventually(all_are_cut, within_s=WITHIN_S)
        await asyncio.to_thread(stack.start, "gateway")
        gate.open()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*following)
    finally:
        gate.open()
        for task in following:
            task.cancel()
    for follower in followers:
        ids = [each for each, _, _ in follower.events]
        assert len(set(ids)) == len(ids)
        assert follower.text == BEFORE + AFTER
        assert _without_deltas(follower) == _without_deltas(followers[0])


def _without_deltas(follower: Follower) -> list[str]:
    return [name for _, name, _ in follower.events if name != "thread.message.delta"]
