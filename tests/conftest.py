"""Real infrastructure for the tests that need it: started once, a fresh database for each test.

``tests/backing.py`` says where Kafka and MongoDB are; where it knows none, the embedded broker and store are
started as processes on free ports.
"""

import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from shared.stores.database import Database, connect
from tests import backing
from tests.processes import beside_python, free_port, listening

LONGEST_FIRST = ("chaos", "e2e", "integration")  # folders
BY_ITSELF = "::test_no_schedule_breaks_an_invariant["  # needs nothing that the others of its file start

# A sandbox kept warm costs a second of CPU for each service that a test starts; the pool has its own test.
os.environ.setdefault("THREADMILL_WARM_SANDBOXES", "0")


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that all processes end at about the same time."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if BY_ITSELF in item.nodeid:
        return len(LONGEST_FIRST) + 1
    folder = item.path.parent.name
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests stay in one process, but for those that go wherever there is time."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if BY_ITSELF in nodeid else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="module")
def kafka_bootstrap() -> Iterator[str]:
    """A broker for each module: the topics of hundreds of tests on one would cost each client time."""
    if given := backing.kafka():
        yield given
        return
    from tests.brokers import local_broker

    with local_broker() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := backing.mongo():
        yield given
        return
    folder, port = tmp_path_factory.mktemp("store"), free_port()
    command = [beside_python("secantusd-py"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--storage-path", str(folder / "data"), "--cache-size", "128M"]
    with listening(command, port, folder / "log"):
        yield f"mongodb://127.0.0.1:{port}/?retryWrites=false&directConnection=true"


@pytest.fixture
async def db(mongo_url: str) -> AsyncIterator[Database]:
    database = connect(mongo_url, f"test_{uuid4().hex[:12]}")
    yield database
    await database.client.drop_database(database.name)
    database.client.close()
