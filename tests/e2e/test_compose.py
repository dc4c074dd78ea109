"""``deploy/compose.yaml`` by Compose itself; the embedded broker and store stand in for those of others."""

import io
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from deploy.local.conversation import shown
from tests import containers
from tests.containers import COMPOSE, SERVICES
from tests.processes import free_port

EMBEDDED = COMPOSE.with_name("compose.embedded.yaml")
WITHIN_S = 400

pytestmark = pytest.mark.timeout(3 * WITHIN_S)


@dataclass(frozen=True)
class Project:
    name: str
    port: int

    def compose(self, *arguments: str) -> str:
        files = ("-f", str(COMPOSE), "-f", str(EMBEDDED))
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, *files, *arguments],
            env={**os.environ, "THREADMILL_PORT": str(self.port)},
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self, *arguments: str) -> None:
        """With the images that are here, until all are healthy."""
        try:
            self.compose("up", "--wait", "--no-build", *arguments)
        except AssertionError as error:
            error.add_note(self.compose("logs", "--tail", "20"))
            raise

    def health(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in self.compose("ps", "--all", "--format", "json").splitlines():
            container = json.loads(line)
            found.setdefault(container["Service"], []).append(container["Health"])
        return found


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    if what := missing():
        pytest.skip(what)
    project = Project(f"threadmill-{uuid4().hex[:8]}", free_port())
    try:
        project.up()
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "20")


def missing() -> str:
    """What is not here of what this needs; "" if everything is."""
    if what := containers.missing():
        return what
    if _docker("compose", "version"):
        return "docker has no command compose"
    name = f"threadmill-{uuid4().hex[:8]}"
    if why := _docker("network", "create", name):
        return f"the daemon makes no networks: {why}"
    _docker("network", "rm", name)
    return ""


def _docker(*command: str) -> str:
    """Why it failed; "" if it did not."""
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False, timeout=WITHIN_S)
    return done.stderr.strip() if done.returncode else ""


async def test_the_first_answer(project: Project) -> None:
    said = io.StringIO()
    assert await shown(f"http://127.0.0.1:{project.port}/v1", "sk-local", said), said.getvalue()
    assert "x = 1" in said.getvalue()


def test_every_service_has_a_health_check(project: Project) -> None:
    assert project.health() == {name: ["healthy"] for name in ("kafka", "mongodb", "model", *SERVICES)}


async def test_there_can_be_more_of_a_service(project: Project) -> None:
    project.up("--scale", "tool-code=2")
    assert project.health()["tool-code"] == ["healthy", "healthy"]
    said = io.StringIO()
    assert await shown(f"http://127.0.0.1:{project.port}/v1", "sk-local", said), said.getvalue()
