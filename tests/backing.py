"""Kafka and MongoDB for the tests, where others than the embedded ones are to be had.

At the address that the environment gives (``TEST_KAFKA``, ``TEST_MONGO``), else in containers of the images
that ``deploy/compose.yaml`` names, where this machine has them. Nothing is pulled; ``TEST_CONTAINERS=no``
leaves them alone.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

from tests.daemon import lacking
from tests.processes import free_port

COMPOSE = Path(__file__).parents[1] / "deploy/compose.yaml"
HEALTHY_WITHIN_S = 180
SECOND_NS = 1_000_000_000
MONGO_PORT = 27017
# What lets tests use short sessions, and see retention work: as in deploy/kafka/run.
QUICK = {
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "100",
    "KAFKA_LOG_INITIAL_TASK_DELAY_MS": "500",
    "KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS": "500",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
}
Service: TypeAlias = dict[str, Any]

_running = ExitStack()  # until the process ends
atexit.register(_running.close)


@cache
def kafka() -> str | None:
    """Where it is; None if the embedded broker has to do."""
    return os.environ.get("TEST_KAFKA") or _contained("kafka", kafka_container)


@cache
def mongo() -> str | None:
    """Its URL; None if the embedded store has to do."""
    return os.environ.get("TEST_MONGO") or _contained("mongodb", mongo_container)


def _contained(name: str, start: Callable[[Service], AbstractContextManager[str]]) -> str | None:
    service: Service = yaml.safe_load(COMPOSE.read_text())["services"][name]
    if os.environ.get("TEST_CONTAINERS") == "no" or lacking(service["image"]):
        return None
    return _running.enter_context(start(service))


@contextmanager
def kafka_container(service: Service) -> Iterator[str]:
    """The file's broker, with one listener more, where the clients of this machine find it."""
    port = free_port()
    container = _container("kafka", service).with_bind_ports(port, port)
    address = f"{container.get_docker_client().host()}:{port}"
    told = service["environment"]
    more = {
        "KAFKA_LISTENERS": f"HOST://:{port}",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://{address}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT",
    }
    both = {name: f"{told[name]},{value}" for name, value in more.items()}
    container.with_envs(**{**told, **both, **QUICK, "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT"})
    with container:
        yield address


@contextmanager
def mongo_container(service: Service) -> Iterator[str]:
    """The file's replica set of one, which its health check makes."""
    container = _container("mongodb", service).with_exposed_ports(MONGO_PORT).with_command(service["command"])
    with container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(MONGO_PORT)
        # Direct: it knows itself by a name that only containers resolve.
        url = f"mongodb://{host}:{port}/?directConnection=true"
        _wait_for_primary(url)
        yield url


def _container(name: str, service: Service) -> DockerContainer:
    testcontainers_config.ryuk_disabled = True  # its reaper is an image more, which would be pulled
    health = {"test": service["healthcheck"]["test"], "interval": SECOND_NS, "timeout": 30 * SECOND_NS}
    container = DockerContainer(service["image"]).with_kwargs(
        hostname=name, healthcheck=health | {"retries": HEALTHY_WITHIN_S}
    )
    return container.waiting_for(HealthcheckWaitStrategy().with_startup_timeout(HEALTHY_WITHIN_S))


def _wait_for_primary(url: str) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        while not _is_primary(client):
            assert time.monotonic() < deadline, "the replica set has no primary"
            time.sleep(0.1)


def _is_primary(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        return bool(client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False
