"""The one way this code talks to Kafka: topics, durable writes, and what follows a failure."""

import asyncio
import logging
from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from faststream import ExceptionMiddleware
from faststream.kafka import KafkaBroker

from shared import topics
from shared.settings import ServiceSettings

log = logging.getLogger(__name__)

RETRY_PAUSE_S = 1.0
START_PATIENCE_S = 2.0
OK = 0

# publish=True runs these inside the scope that decides the offset: returning
# commits the record, raising leaves it to be read again.
on_failure = ExceptionMiddleware()


@on_failure.add_handler(Exception, publish=True)
async def hold_back(error: Exception) -> None:
    """What went wrong may pass: the record is read again, in order, but not in a hot loop."""
    log.warning("a record is read again later", exc_info=error)
    await asyncio.sleep(RETRY_PAUSE_S)
    raise error


def build_broker(settings: ServiceSettings, *, client_id: str) -> KafkaBroker:
    return KafkaBroker(
        settings.kafka_bootstrap,
        client_id=client_id,
        acks="all",
        middlewares=[on_failure],
        logger=logging.getLogger("records"),
        log_level=logging.DEBUG,
        graceful_timeout=0.5,
    )


class Startable(Protocol):
    async def start(self) -> None: ...


async def start(client: Startable) -> None:
    """Start a Kafka client, whole, also if the caller is cancelled meanwhile.

    Cancelled while it connects, aiokafka would forget the connection without closing it.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting], timeout=START_PATIENCE_S)
        raise


async def connect_admin(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await start(admin)
    except BaseException:
        await admin.close()
        raise
    return admin


async def generation(admin: AIOKafkaAdminClient) -> str:
    """Return the broker's cluster id. Another one than before means: it has forgotten everything."""
    cluster = await admin.describe_cluster()
    return str(cluster["cluster_id"])


async def ensure_topics(admin: AIOKafkaAdminClient, settings: ServiceSettings) -> None:
    """Create the topics that are missing. Existing ones stay as they are."""
    most = settings.most_partitions
    wanted = [(t.name, t.at_most(most) if most else t.partitions, t.retention_s) for t in topics.ALL]
    for topic in topics.WORK:
        dead = (topic.name + topics.DEAD_LETTER_SUFFIX, topics.DEAD_LETTER_PARTITIONS)
        wanted.append((*dead, topics.DEAD_LETTER_RETENTION_S))
    new = [
        NewTopic(
            settings.topic_prefix + name,
            num_partitions=partitions,
            replication_factor=settings.topic_replication,
            topic_configs={"retention.ms": str(retention_s * 1000)},
        )
        for name, partitions, retention_s in wanted
    ]
    response = await admin.create_topics(new)
    for name, code, *_ in response.topic_errors:
        if code not in (OK, TopicAlreadyExistsError.errno):
            raise for_code(code)(f"could not create {name}")
