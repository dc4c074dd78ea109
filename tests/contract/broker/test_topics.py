"""Topics: creating, describing, growing and deleting them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.contract.broker.cluster import TOO_LONG_MS, Cluster, take_values
from tests.eventually import eventually

pytest_plugins = ["tests.contract.broker.fixtures"]

UNKNOWN_TOPIC, INVALID_TOPIC = 3, 17
TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG = 36, 37, 38, 40


async def outcome(cluster: Cluster, name: str, partitions: int = 1, replicas: int = 1, **more: Any) -> int:
    response = await cluster.admin.create_topics([NewTopic(name, partitions, replicas, **more)])
    code: int = response.topic_errors[0][1]
    return code


async def description_of(cluster: Cluster, name: str) -> dict[str, Any]:
    (topic,) = await cluster.admin.describe_topics([name])
    return dict(topic)


async def test_a_topic_is_there_once_created_and_only_once(cluster: Cluster) -> None:
    topic = await cluster.create_topic(partitions=5)
    assert topic in await cluster.admin.list_topics()
    assert {p["partition"] for p in (await description_of(cluster, topic))["partitions"]} == set(range(5))
    assert await outcome(cluster, topic) == TOPIC_ALREADY_EXISTS


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (("", 1, 1), INVALID_TOPIC),
        (("..", 1, 1), INVALID_TOPIC),
        (("no spaces", 1, 1), INVALID_TOPIC),
        (("x" * 250, 1, 1), INVALID_TOPIC),
        (("none-at-all", 0, 1), INVALID_PARTITIONS),
        (("negative", -5, 1), INVALID_PARTITIONS),
        (("three-copies", 1, 3), INVALID_REPLICATION_FACTOR),
    ],
)
async def test_a_topic_that_cannot_be_is_refused(cluster: Cluster, topic: Any, code: int) -> None:
    assert await outcome(cluster, *topic) == code
    assert topic[0] not in await cluster.admin.list_topics()


async def test_a_config_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    name = f"test-{uuid4().hex}"
    assert await outcome(cluster, name, topic_configs={"retention.parsecs": "1"}) == INVALID_CONFIG
    assert await outcome(cluster, name, topic_configs={"retention.ms": "soon"}) == INVALID_CONFIG
    assert name not in await cluster.admin.list_topics()


async def test_validating_creates_nothing(cluster: Cluster) -> None:
    name = f"test-{uuid4().hex}"
    response = await cluster.admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)
    assert response.topic_errors[0][1] == 0
    assert name not in await cluster.admin.list_topics()


async def test_asking_for_an_unknown_topic_does_not_create_it(cluster: Cluster) -> None:
    name = f"test-{uuid4().hex}"
    assert (await description_of(cluster, name))["error_code"] == UNKNOWN_TOPIC
    assert name not in await cluster.admin.list_topics()


async def test_configs_are_given_back(cluster: Cluster) -> None:
    topic = await cluster.create_topic(retention_ms="123456", cleanup_policy="delete")
    (response,) = await cluster.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, _, _, name, entries),) = response.resources
    values = {entry[0]: entry[1] for entry in entries}
    assert (code, name, values["retention.ms"]) == (0, topic, "123456")
    assert values["segment.ms"] == "604800000", "and the defaults of the others"

    only = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": ""})
    (response,) = await cluster.admin.describe_configs([only])
    assert [entry[:2] for entry in response.resources[0][4]] == [("retention.ms", "123456")]


async def test_a_topic_can_grow(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.admin.create_partitions({topic: NewPartitions(3)})

    async def has_three() -> bool:
        return len((await description_of(cluster, topic))["partitions"]) == 3

    await eventually(has_three)
    await cluster.send(topic, b"x", partition=2)
    assert await take_values(await cluster.reader_of(topic, 2), 1) == [b"x"]


async def test_a_deleted_topic_is_gone_with_its_records_and_offsets(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.send(topic, b"1", b"2", b"3")
    group, place = f"group-{uuid4().hex}", TopicPartition(topic, 0)
    member = await cluster.consumer(group_id=group)
    member.assign([place])
    await member.commit({place: 2})
    await member.stop()

    await cluster.admin.delete_topics([topic])

    async def is_gone() -> bool:
        return topic not in await cluster.admin.list_topics()

    await eventually(is_gone)
    await cluster.create_topic(topic)
    assert await cluster.bounds(topic) == (0, 0)

    async def has_no_offset() -> bool:
        offsets = await cluster.admin.list_consumer_group_offsets(group)
        return place not in offsets or offsets[place].offset == -1

    await eventually(has_no_offset)


async def test_a_reader_of_a_deleted_topic_reads_the_one_that_follows(cluster: Cluster) -> None:
    topic = await cluster.create_topic()
    await cluster.send(topic, b"1", b"2", b"3")
    reader = await cluster.reader_of(topic, fetch_max_wait_ms=TOO_LONG_MS, metadata_max_age_ms=500)
    assert await take_values(reader, 3) == [b"1", b"2", b"3"]
    assert await reader.getmany(timeout_ms=300) == {}  # by now its fetch waits at the broker

    await cluster.admin.delete_topics([topic])

    async def is_gone() -> bool:
        return topic not in await cluster.admin.list_topics()

    await eventually(is_gone)
    await cluster.create_topic(topic)
    await cluster.send(topic, b"new")
    assert await take_values(reader, 1) == [b"new"]


async def test_the_cluster_has_an_id(cluster: Cluster) -> None:
    first, second = await asyncio.gather(cluster.admin.describe_cluster(), cluster.admin.describe_cluster())
    assert first["cluster_id"]
    assert first["cluster_id"] == second["cluster_id"]
    assert [broker["node_id"] for broker in first["brokers"]] == [first["controller_id"]]
