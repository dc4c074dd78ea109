"""The whole stack, as processes: shared ones for all tests of a session, or one of a test's own."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack, running
from deploy.local.program import Output
from deploy.local.programs import Model
from deploy.local.stack import Options, Stack
from tests import backing
from tests.model_server import ModelServer

HERE = Path(__file__).parent
LOGS = pytest.StashKey[dict[Path, int]]()  # what the processes write -> its length when the test began
SHOWN_BYTES = 12_000
# The newest SDK says this of every call for Assistants; exactly this is no error here.
DEPRECATED = "ignore:(The Assistants API is deprecated|deprecated):DeprecationWarning"
# So that what is left of a killed process is found soon.
QUICK = {"THREADMILL_LEASE_S": "3", "THREADMILL_HEARTBEAT_S": "1", "THREADMILL_SWEEP_S": "0.5"}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LOGS] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(DEPRECATED))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes wrote during a test that failed."""
    report = yield
    logs = item.config.stash[LOGS]
    if call.when == "setup":
        logs.update({path: path.stat().st_size for path in logs})
    if report.failed:
        for path, start in logs.items():
            if written := path.read_bytes()[start:]:
                report.sections.append((f"log in {path}", written[-SHOWN_BYTES:].decode(errors="replace")))
    return report


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    """Shared: a test leaves it as it found it, and names nothing that another could name."""
    folder = tmp_path_factory.mktemp("stack")
    with running(_options(folder, {}), _log(pytestconfig, folder)) as stack:
        yield stack


@pytest.fixture(scope="session")
def threadmill(stack: BackgroundStack) -> BackgroundStack:
    """A server with the demo model: ``base_url`` (which ends in /v1) and ``api_key``."""
    return stack


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    """The model of ``scripted``. Tests script it for a model name of their own."""
    server = ModelServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def scripted(
    model: ModelServer, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackgroundStack]:
    """A server with the scripted model and short leases. Who kills a process starts it again."""
    folder = tmp_path_factory.mktemp("scripted")
    options = _options(folder, QUICK, Model(url=model.url, api_key="unused"))
    with running(options, _log(pytestconfig, folder)) as stack:
        yield stack


@pytest.fixture
def own_stack(tmp_path: Path, pytestconfig: pytest.Config) -> Callable[..., Stack]:
    """``async with own_stack(THREADMILL_LEASE_S="2") as stack``: one that a test may damage.

    The keywords are environment variables of all its services. Without a model, the demo model answers.
    """

    def make(model: Model | None = None, **env: str) -> Stack:
        folder = tmp_path / "stack"
        folder.mkdir()
        return Stack(_options(folder, env, model), _log(pytestconfig, folder))

    return make


def _log(config: pytest.Config, folder: Path) -> Output:
    path = folder / "log"
    path.touch()
    config.stash[LOGS][path] = 0

    def write(name: str, line: str) -> None:
        with path.open("a") as log:
            log.write(f"{name}: {line}\n")

    return write


def _options(data: Path, env: dict[str, str], model: Model | None = None) -> Options:
    """Kafka and MongoDB are those of ``tests/backing.py``, else the embedded ones."""
    unique = uuid4().hex[:8]
    own = {"THREADMILL_MONGO_DATABASE": f"test_{unique}", "THREADMILL_TOPIC_PREFIX": f"test-{unique}."}
    return Options(data=data, kafka=backing.kafka(), mongo=backing.mongo(), model=model, env={**own, **env})
