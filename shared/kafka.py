"""The one way this code talks to Kafka: topics, durable writes, and what follows a failure."""

import asyncio
import logging
import ssl
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from faststream import ExceptionMiddleware
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared import topics
from shared.settings import ServiceSettings

log = logging.getLogger(__name__)
records = logging.getLogger("records")

RETRY_PAUSE_S = 1.0
START_PATIENCE_S = 2.0
OK = 0
# How soon a consumer that joined while a forgetful broker had no topics yet sees that they are there.
METADATA_MS = 5_000

# publish=True runs these inside the scope that decides the offset: returning
# commits the record, raising leaves it to be read again.
on_failure = ExceptionMiddleware()


@on_failure.add_handler(Exception, publish=True)
async def hold_back(error: Exception) -> None:
    """What went wrong may pass: the record is read again, in order, but not in a hot loop."""
    log.warning("a record is read again later", exc_info=error)
    await asyncio.sleep(RETRY_PAUSE_S)
    raise error


def reading(settings: ServiceSettings) -> dict[str, Any]:
    """Return how a consumer of named topics reaches the broker."""
    # Any other client would ask for all topics of the cluster so often, and decode them.
    return {**connection(settings), "metadata_max_age_ms": METADATA_MS}


def connection(settings: ServiceSettings) -> dict[str, Any]:
    """Return how a client of aiokafka reaches the broker: its address, and who asks."""
    protocol = settings.kafka_security_protocol
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": protocol,
        "ssl_context": tls(settings),
    }
    if protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


def tls(settings: ServiceSettings) -> ssl.SSLContext | None:
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_cert_file:
        context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    return context


def _security(settings: ServiceSettings) -> BaseSecurity | None:
    """The same as ``connection``, in FastStream's words."""
    context = tls(settings)
    if not settings.kafka_security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[settings.kafka_sasl_mechanism](
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=context,
        use_ssl=context is not None,
    )


def _is_news(record: logging.LogRecord) -> bool:
    """FastStream warns that it creates no topics; ``ensure_topics`` does."""
    return not record.getMessage().startswith("Topic creation is skipped")


records.addFilter(_is_news)


def build_broker(settings: ServiceSettings, *, client_id: str) -> KafkaBroker:
    """Return what consumes; what is sent goes through a ``Publisher``."""
    return KafkaBroker(
        settings.kafka_bootstrap,
        client_id=client_id,
        security=_security(settings),
        consumer_only=True,
        middlewares=[on_failure],
        logger=records,
        log_level=logging.DEBUG,
        graceful_timeout=0.5,
        metadata_max_age_ms=METADATA_MS,
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


async def connect_admin(settings: ServiceSettings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=10_000)
    try:
        await start(admin)
    except BaseException:
        await admin.close()
        raise
    return admin


async def generation(admin: AIOKafkaAdminClient) -> str:
    """Return the broker's cluster id. Another one than before means: it has forgotten everything."""
    # As describe_cluster, which would ask for all topics of the cluster with their partitions.
    cluster = await admin._get_cluster_metadata(topics=[])
    return str(cluster.cluster_id)


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
