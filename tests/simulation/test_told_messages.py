"""Nobody is told of a message that cannot be read yet, whoever tells."""

import asyncio

from services.gateway.run_changes import cancel
from tests.simulation.clock import virtual_time
from tests.simulation.world import World
from tests.unit.run_samples import TOLD


def test_a_cancelled_run_whose_owner_did_not_come_to_write_its_message() -> None:
    """The owner saved that the text is complete, and died or stands still; now a client cancels."""
    with virtual_time(1) as loop:
        world = World(1, loop, focus=("nothing",))

        async def scenario() -> None:
            await world._start("gateway")
            await asyncio.sleep(5.0)
            run = await world.gateway.runs.add(TOLD)
            world.gateway.run_changed(await cancel(world.gateway.runs, run), "cancel_requested")
            await asyncio.sleep(5.0)

        loop.run_until_complete(scenario())
        told = [
            dict(record.headers)["ce_type"]
            for partition in world.broker.logs["thread-events.v1"]
            for record in partition
        ]
    assert any(name.endswith(b"message.completed.v1") or b"message.completed" in name for name in told)
    assert world.audit.violations == []
