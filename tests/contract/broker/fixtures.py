"""The brokers that the suite runs against: ours, and Apache Kafka where ``tests/backing.py`` finds one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests import backing
from tests.brokers import local_broker
from tests.contract.broker.cluster import Cluster


@pytest.fixture(scope="session", params=["ours", "kafka"])
def bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "kafka":
        if not (given := backing.kafka()):
            pytest.skip(
                "no Apache Kafka: TEST_KAFKA names none (deploy/kafka/run starts one), no image is here"
            )
        yield given
    else:
        with local_broker() as address:
            yield address


@pytest.fixture
async def cluster(bootstrap: str) -> AsyncIterator[Cluster]:
    async with Cluster(bootstrap) as cluster:
        yield cluster
