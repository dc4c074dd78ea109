"""The brokers that the suite runs against: ours, and Apache Kafka where TEST_KAFKA names one."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.brokers import local_broker
from tests.contract.broker.cluster import Cluster


@pytest.fixture(scope="session", params=["ours", "kafka"])
def bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "kafka":
        address = os.environ.get("TEST_KAFKA")
        if not address:
            pytest.skip("TEST_KAFKA gives no address of an Apache Kafka (deploy/kafka/run starts one)")
        yield address
    else:
        with local_broker() as address:
            yield address


@pytest.fixture
async def cluster(bootstrap: str) -> AsyncIterator[Cluster]:
    async with Cluster(bootstrap) as cluster:
        yield cluster
