"""A group member in a process of its own, so that a test can pause or kill it.

``python -m tests.contract.broker.member BOOTSTRAP GROUP TOPIC`` writes one line of JSON for each
thing that happens: an assignment, a record, and the outcome of a commit, which a line on stdin asks for.
"""

import asyncio
import json
import sys
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from tests.contract.broker.cluster import HEARTBEAT_MS, SESSION_MS


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        tell(assigned=sorted(place.partition for place in assigned))


async def main(bootstrap: str, group: str, topic: str) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
    )
    await consumer.start()
    consumer.subscribe([topic], listener=Listener())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    reading = asyncio.create_task(read(consumer))
    while await commands.readline():
        try:
            await consumer.commit()
            tell(commit="done")
        except KafkaError as error:
            tell(commit=type(error).__name__)
    reading.cancel()
    await consumer.stop()


async def read(consumer: AIOKafkaConsumer) -> None:
    async for record in consumer:
        tell(partition=record.partition, offset=record.offset)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
