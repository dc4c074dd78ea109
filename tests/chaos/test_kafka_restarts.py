"""Apache Kafka restarts under load, and keeps what it had: nothing lost, nothing in another order.

It takes Java and Maven's jars, so it has to be asked for: ``TEST_KAFKA_RESTARTS=yes``.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.lab import Lab, laboratory
from tests.chaos.work import AtWork
from tests.processes import accepts, free_port

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("TEST_KAFKA_RESTARTS"),
        reason="takes a while, and Apache Kafka: TEST_KAFKA_RESTARTS asks for it",
    ),
    pytest.mark.skipif(shutil.which("java") is None, reason="Apache Kafka needs Java, which is not here"),
]

RUN = Path(__file__).parents[2] / "deploy" / "kafka" / "run"
READY_WITHIN_S = 180.0
AWAY_S = 3.0


class ApacheKafka:
    """One node, on one port and one folder in all its lives."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, *options: str) -> None:
        process = self._process = self._begin(*options)
        async with asyncio.timeout(READY_WITHIN_S):
            while not accepts(self.port):
                assert process.poll() is None, self._log.read_text()[-2000:]
                await asyncio.sleep(0.2)

    def _begin(self, *options: str) -> subprocess.Popen[bytes]:
        command = [str(RUN), "--port", str(self.port), *options]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    async def end(self, by: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(by)
        await asyncio.to_thread(self._process.wait, READY_WITHIN_S)

    def clean_up(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(RUN.parent / "target" / f"node-{self.port}", ignore_errors=True)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    node = ApacheKafka(tmp_path_factory.mktemp("kafka") / "log")
    yield node
    node.clean_up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    await kafka.start()
    folder = tmp_path_factory.mktemp("chaos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KAFKA", f"127.0.0.1:{kafka.port}")
        async with laboratory(folder / "data", folder / "log") as lab:
            yield lab


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_the_broker_restarts_with_what_it_had(
    kafka: ApacheKafka, working: AtWork, by: signal.Signals
) -> None:
    async def restart() -> None:
        await kafka.end(by)
        await asyncio.sleep(AWAY_S)
        await kafka.start("--keep")

    async with working() as work:
        await work.strike(restart(), after_s=5)
