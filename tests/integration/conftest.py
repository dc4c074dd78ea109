"""A gateway for each module that asks for one, with its own database; what a module defines itself wins."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.integration.running_gateway import V1, V2, Api, Worker, api, running_gateway


@pytest.fixture(scope="module")
def database() -> str:
    return f"gateway_{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str, database: str) -> Iterator[str]:
    with running_gateway(kafka_bootstrap, mongo_url, database) as url:
        yield url


@pytest.fixture
def v1(url: str) -> Iterator[Api]:
    client = api(url, V1)
    yield client
    client.client.close()


@pytest.fixture
def v2(url: str) -> Iterator[Api]:
    client = api(url, V2)
    yield client
    client.client.close()


@pytest.fixture
def worker(mongo_url: str, database: str) -> Iterator[Worker]:
    worker = Worker(mongo_url, database)
    yield worker
    worker.close()
