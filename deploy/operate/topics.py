"""``threadmill topics create``: what services do at their start where they may, as a step of its own."""

import asyncio
import sys

from aiokafka.errors import KafkaError

from shared.kafka import connect_admin, ensure_topics
from shared.settings import ServiceSettings, load


def create() -> int:
    """Create what is missing on the Kafka of the environment; return the exit code."""
    settings = load(ServiceSettings)
    try:
        asyncio.run(create_on(settings))
    except (KafkaError, OSError) as error:
        sys.stderr.write(f"threadmill: no topics on {settings.kafka_bootstrap}: {error!r}\n")
        return 1
    sys.stdout.write(f"The topics {settings.topic_prefix}* are on {settings.kafka_bootstrap}\n")
    return 0


async def create_on(settings: ServiceSettings) -> None:
    admin = await connect_admin(settings)
    try:
        await ensure_topics(admin, settings)
    finally:
        await admin.close()


if __name__ == "__main__":  # in the image of any service
    sys.exit(create())
