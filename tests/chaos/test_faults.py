"""Faults of the list (FAULTS.md) in processes, networks, broker and store, under load."""

import asyncio
import random
import signal

import pytest

from tests.chaos.lab import PROGRAMS, Lab
from tests.chaos.nemesis import SECOND, UNREADABLE, WORK, repeat_records, send
from tests.chaos.work import AtWork

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def test_all_processes_are_killed_at_once(lab: Lab, working: AtWork) -> None:
    async def kill_all() -> None:
        names = [name for name in reversed(PROGRAMS) if name not in lab.given]
        await asyncio.gather(*map(lab.kill, names))
        await asyncio.gather(*map(lab.start, names))

    async with working() as work:
        await work.strike(kill_all())


async def test_an_orchestrator_that_stood_still_wakes_up_as_a_zombie(lab: Lab, working: AtWork) -> None:
    async def stand_still() -> None:
        await lab.start(SECOND)
        lab.stack.signal("run_orchestrator", signal.SIGSTOP)
        await asyncio.sleep(6)  # two leases
        lab.stack.signal("run_orchestrator", signal.SIGCONT)

    async with working() as work:
        await work.strike(stand_still(), after_s=3)
    await lab.stack.stop(SECOND)


async def test_the_broker_forgets_everything(lab: Lab, working: AtWork) -> None:
    async def forget() -> None:
        await lab.kill("broker")
        await asyncio.sleep(1)
        await lab.start("broker")

    if "broker" in lab.given:
        pytest.skip("only the embedded broker forgets")
    async with working() as work:
        await work.strike(forget())


async def test_the_ways_are_slow(lab: Lab, working: AtWork) -> None:
    async def be_slow() -> None:
        for name, delay_s in (("broker", 0.25), ("store", 0.05), ("model", 0.5)):
            lab.proxies[name].delay_s = delay_s
            await asyncio.sleep(3)
            lab.proxies[name].heal()

    async with working() as work:
        await work.strike(be_slow())


async def test_records_come_again_and_in_another_order(lab: Lab, working: AtWork) -> None:
    """Requests and results of runs that ended long ago among them."""

    async def repeat() -> None:
        for number in range(4):
            await repeat_records(lab, random.Random(number))

    async with working() as work:
        await asyncio.sleep(2)
        await work.strike(repeat())


async def test_records_that_nobody_can_read_are_set_aside_once(lab: Lab, working: AtWork) -> None:
    async def send_all() -> None:
        for topic in WORK:
            for value in UNREADABLE:
                unique = f"{value}{len(lab.injected)}{{"
                await send(lab, lab.prefix + topic.name, "somebody", unique)
                lab.injected.append(unique)

    async with working() as work:
        await work.strike(send_all())
    history = await work.history()
    values = [record.value for record in history.dead]
    assert [values.count(each) for each in lab.injected] == [1] * len(lab.injected)
