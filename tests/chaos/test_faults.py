"""Faults of the list (FAULTS.md) in processes, networks, broker and store, under load."""

import asyncio
import random
import resource
import signal
from collections import Counter
from typing import Any, TypeAlias

import pytest
from aiokafka import errors
from aiokafka.protocol.commit import OffsetCommitRequest_v3
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.group import HeartbeatRequest_v1, JoinGroupRequest_v2, SyncGroupRequest_v1
from aiokafka.protocol.produce import ProduceRequest_v7

from tests.chaos.lab import PROGRAMS, Lab
from tests.chaos.nemesis import SECOND, UNREADABLE, WORK, repeat_records, send
from tests.chaos.storm import storm
from tests.chaos.work import AtWork
from tests.eventually import eventually

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


Refusals: TypeAlias = dict[Any, type[errors.KafkaError]]
# What a cluster answers while it moves partitions, coordinators and members about.
ERRORS_OF_CLUSTERS: tuple[Refusals, ...] = (
    dict.fromkeys((ProduceRequest_v7, FetchRequest_v4), errors.NotLeaderForPartitionError),
    {
        HeartbeatRequest_v1: errors.NotCoordinatorForGroupError,
        FindCoordinatorRequest_v1: errors.GroupCoordinatorNotAvailableError,
    },
    {OffsetCommitRequest_v3: errors.NotCoordinatorForGroupError},
    {
        HeartbeatRequest_v1: errors.RebalanceInProgressError,
        JoinGroupRequest_v2: errors.GroupLoadInProgressError,
    },
    {
        HeartbeatRequest_v1: errors.UnknownMemberIdError,
        SyncGroupRequest_v1: errors.RebalanceInProgressError,
    },
    {OffsetCommitRequest_v3: errors.IllegalGenerationError},
)


async def test_the_broker_answers_as_a_cluster_that_is_on_the_move(lab: Lab, working: AtWork) -> None:
    way = lab.way_to_kafka

    async def answer_errors() -> None:
        for refusals in ERRORS_OF_CLUSTERS:
            before = way.refused.copy()

            async def all_seen(
                refusals: Refusals = refusals, before: Counter[tuple[Any, Any]] = before
            ) -> bool:
                return all(way.refused[each] > before[each] for each in refusals.items())

            way.refuses_with.update(refusals)
            await eventually(all_seen, within_s=30)
            way.heal()

    if "broker" in lab.given:
        pytest.skip("only the embedded broker's requests are known by their version")
    async with working() as work:
        await work.strike(answer_errors())


async def test_answers_are_lost_and_what_was_asked_is_done(lab: Lab, working: AtWork) -> None:
    """Of the broker to producers, and of the store to everybody."""
    way = lab.way_to_kafka

    async def all_lost() -> bool:
        return way.loses_of[ProduceRequest_v7] == lab.proxies["store"].losses == 0

    async def lose() -> None:
        for _ in range(5):
            way.loses_of[ProduceRequest_v7] += 3
            lab.proxies["store"].losses += 3
            await eventually(all_lost, within_s=30)

    if "broker" in lab.given:
        pytest.skip("only the embedded broker's requests are known by their version")
    async with working() as work:
        await work.strike(lose())


async def test_the_disk_of_the_store_is_full(lab: Lab, working: AtWork) -> None:
    """Its engine panics at the first write that fails, and a new process reads what was acknowledged."""

    async def gone() -> bool:
        return not lab.runs_now("store")

    async def fill() -> None:
        largest_file = (1, resource.RLIM_INFINITY)
        resource.prlimit(lab.stack.pid("store"), resource.RLIMIT_FSIZE, largest_file)
        await eventually(gone, within_s=30)
        await lab.start("store")

    if "store" in lab.given or not hasattr(resource, "prlimit"):
        pytest.skip("only the embedded store's disk is ours to fill, and only on Linux")
    async with working() as work:
        await work.strike(fill())


async def test_members_of_the_groups_come_and_go(lab: Lab, working: AtWork) -> None:
    async with working() as work:
        await work.strike(storm(lab, for_s=3))
