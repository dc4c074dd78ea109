"""Consumer groups: sharing the work, losing members, and offsets that outlive them."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, InconsistentGroupProtocolError, UnknownMemberIdError

from tests.contract.broker.cluster import ANSWER_WITHIN_S, SESSION_MS, Cluster, take, take_values
from tests.eventually import eventually

pytest_plugins = ["tests.contract.broker.fixtures"]

PARTITIONS = 6
NOTICED_WITHIN_S = 6.0  # after the session has run out; most of it is room for a busy machine


@pytest.fixture
def group() -> str:
    return f"group-{uuid4().hex}"


@pytest.fixture
async def topic(cluster: Cluster) -> str:
    return await cluster.create_topic(partitions=PARTITIONS)


class MemberProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self, what: str) -> Any:
        """The next news of this kind. Raises TimeoutError."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while line := await self._process.stdout.readline():
                news = json.loads(line)
                if what in news:
                    return news[what]
        raise AssertionError("the member ended")

    async def commit(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(b"commit\n")
        outcome: str = await self.told("commit")
        return outcome

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


@asynccontextmanager
async def member_process(cluster: Cluster, group: str, topic: str) -> AsyncIterator[MemberProcess]:
    command = [sys.executable, "-m", "tests.contract.broker.member", cluster.bootstrap, group, topic]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**20)
    try:
        yield MemberProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def shares(*members: AIOKafkaConsumer) -> list[int]:
    """How many partitions each has, once all are taken and none twice."""

    async def settled() -> list[int] | None:
        taken = [place.partition for member in members for place in member.assignment()]
        complete = sorted(taken) == list(range(PARTITIONS))
        return [len(member.assignment()) for member in members] if complete else None

    return await eventually(settled, within_s=ANSWER_WITHIN_S)


async def test_members_share_the_partitions_as_they_come_and_go(
    cluster: Cluster, group: str, topic: str
) -> None:
    first = await cluster.consumer(topic, group_id=group)
    assert await shares(first) == [6]
    second = await cluster.consumer(topic, group_id=group)
    assert await shares(first, second) == [3, 3]
    third = await cluster.consumer(topic, group_id=group)
    assert await shares(first, second, third) == [2, 2, 2]
    await second.stop()
    assert await shares(first, third) == [3, 3]
    await first.stop()
    assert await shares(third) == [6]


async def test_members_that_start_together_share_the_partitions(
    cluster: Cluster, group: str, topic: str
) -> None:
    members = await asyncio.gather(*(cluster.consumer(topic, group_id=group) for _ in range(3)))
    assert await shares(*members) == [2, 2, 2]
    for partition in range(PARTITIONS):
        await cluster.send(topic, b"%d" % partition, partition=partition)
    records = await asyncio.gather(*(take_values(member, 2) for member in members))
    assert sorted(value or b"" for values in records for value in values) == [b"%d" % n for n in range(6)]


async def test_members_must_agree_on_a_way_to_assign(cluster: Cluster, group: str, topic: str) -> None:
    await cluster.consumer(topic, group_id=group, partition_assignment_strategy=[RangePartitionAssignor])
    with pytest.raises(InconsistentGroupProtocolError):
        await cluster.consumer(
            topic, group_id=group, partition_assignment_strategy=[RoundRobinPartitionAssignor]
        )


async def test_committed_offsets_outlive_the_consumer(cluster: Cluster, group: str, topic: str) -> None:
    await cluster.send(topic, b"0", b"1", b"2", b"3", partition=0)
    consumer = await cluster.consumer(topic, group_id=group)
    assert await take_values(consumer, 2) == [b"0", b"1"]
    await consumer.commit()
    assert await take_values(consumer, 1) == [b"2"]  # not committed
    await consumer.stop()

    again = await cluster.consumer(topic, group_id=group)
    assert await take_values(again, 2) == [b"2", b"3"]
    assert await again.committed(TopicPartition(topic, 0)) == 2


async def test_the_records_of_a_killed_member_go_to_another(cluster: Cluster, group: str, topic: str) -> None:
    survivor = await cluster.consumer(topic, group_id=group)
    assert await shares(survivor) == [6]
    async with member_process(cluster, group, topic) as member:
        assert len(await member.told("assigned")) == 3
        for partition in range(PARTITIONS):
            await cluster.send(topic, b"%d" % partition, partition=partition)
        await member.told("offset")
        member.signal(signal.SIGKILL)
        killed = time.monotonic()

        values: set[bytes | None] = set()
        while len(values) < PARTITIONS:  # some may come twice: nothing was committed
            values.update(await take_values(survivor, 1))

    assert time.monotonic() - killed < SESSION_MS / 1000 + NOTICED_WITHIN_S


async def test_a_member_that_was_silent_for_too_long_cannot_commit(
    cluster: Cluster, group: str, topic: str
) -> None:
    await cluster.send(topic, b"0", b"1", partition=0)
    async with member_process(cluster, group, topic) as member:
        assert len(await member.told("assigned")) == 6
        await member.told("offset")
        assert await member.commit() == "done"
        member.signal(signal.SIGSTOP)
        other = await cluster.consumer(topic, group_id=group)
        assert await shares(other) == [6]
        member.signal(signal.SIGCONT)
        assert await member.commit() in {CommitFailedError.__name__, UnknownMemberIdError.__name__}


async def test_offsets_of_a_live_group_are_closed_to_strangers(
    cluster: Cluster, group: str, topic: str
) -> None:
    place = TopicPartition(topic, 0)
    stranger = await cluster.consumer(group_id=group)
    stranger.assign([place])
    await stranger.commit({place: 7})  # nobody is in the group
    assert await stranger.committed(place) == 7

    await shares(await cluster.consumer(topic, group_id=group))
    with pytest.raises((CommitFailedError, UnknownMemberIdError)):
        await stranger.commit({place: 8})
    assert await stranger.committed(place) == 7


async def test_groups_can_be_listed_and_described(cluster: Cluster, group: str, topic: str) -> None:
    member = await cluster.consumer(topic, group_id=group, client_id="somebody")
    await shares(member)
    assert (group, "consumer") in {entry[:2] for entry in await cluster.admin.list_consumer_groups()}

    async def description() -> Any:
        (response,) = await cluster.admin.describe_consumer_groups([group])
        code, name, state, kind, protocol, members, *_ = response.groups[0]
        assert (code, name, kind) == (0, group, "consumer")
        return (protocol, members) if state == "Stable" else None

    protocol, members = await eventually(description)
    assert protocol == "roundrobin"
    assert [client_id for _, client_id, *_ in members] == ["somebody"]


async def test_all_offsets_of_a_group_can_be_asked_for(cluster: Cluster, group: str, topic: str) -> None:
    await cluster.send(topic, b"0", b"1", partition=3)
    consumer = await cluster.consumer(topic, group_id=group)
    await take(consumer, 2)
    await consumer.commit({TopicPartition(topic, 3): (2, "a note")})
    offsets = await cluster.admin.list_consumer_group_offsets(group)
    assert {place.partition: tuple(kept) for place, kept in offsets.items()} == {3: (2, "a note")}
