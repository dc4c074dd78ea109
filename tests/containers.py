"""``deploy/compose.yaml`` started with what is here: our images, and stand-ins for those of others.

For daemons without networks and machines without Compose, which ``tests/e2e/test_compose.py`` asks for, the
file is read here: its services with their environment, health checks and walls, on the host's network and on
free ports. The embedded broker and store stand in for Kafka and MongoDB.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import yaml
from docker.errors import NotFound
from docker.models.containers import Container

from tests.daemon import lacking
from tests.processes import free_port

COMPOSE = Path(__file__).parents[1] / "deploy/compose.yaml"
EMBEDDED = "threadmill/embedded"  # holds the broker and the store
SERVICES = ("gateway", "run-orchestrator", "tool-code", "tool-retrieval")
HEALTHY_WITHIN_S = 180.0
SECOND_NS = 1_000_000_000
HOST = "127.0.0.1"


def missing() -> str:
    """What is not here of what this needs; "" if everything is."""
    what = lacking(EMBEDDED, *(f"threadmill/{name}" for name in SERVICES))
    return what and f"{what} (deploy/README.md says how to build images)"


@dataclass
class Composed:
    """Containers that run. They are named as in the file, each with its port."""

    client: docker.DockerClient
    project: str = field(default_factory=lambda: f"threadmill-{uuid4().hex[:8]}")
    ports: dict[str, int] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    api_key: str = ""

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.ports['gateway']}/v1"

    def kill(self, name: str) -> None:
        self.containers[name].kill()
        self.containers[name].wait()

    def start(self, name: str) -> None:
        self.containers[name].start()

    def wait_healthy(self, *names: str) -> None:
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        for name in names:
            while (state := self._state(name)).get("Health", {}).get("Status") != "healthy":
                assert state["Running"], f"{name} ended: {self.logs(name)}"
                assert time.monotonic() < deadline, f"{name} is not healthy: {state}\n{self.logs(name)}"
                time.sleep(0.2)

    def logs(self, name: str) -> str:
        return str(self.containers[name].logs(tail=40).decode(errors="replace"))

    def inside(self, name: str, *command: str) -> str:
        """What a command says in a container."""
        code, said = self.containers[name].exec_run(list(command))
        assert isinstance(said, bytes)
        assert code == 0, said
        return said.decode().strip()

    def remove(self) -> None:
        for container in self.containers.values():
            with suppress(NotFound):
                container.remove(force=True, v=True)
        for volume in self.client.volumes.list(filters={"name": self.project}):
            volume.remove(force=True)
        self.client.close()

    def _state(self, name: str) -> dict[str, Any]:
        self.containers[name].reload()
        state: dict[str, Any] = self.containers[name].attrs["State"]
        return state


@contextmanager
def all_in_one(*arguments: str) -> Iterator[Container]:
    """``threadmill up`` with ``arguments`` in one container, behind the walls that the services have."""
    client = docker.from_env()
    try:
        container = client.containers.run(
            EMBEDDED,
            ["python", "-m", "deploy.local", "up", "--data", "/data", *arguments],
            network_mode="host",
            read_only=True,
            tmpfs={"/tmp": ""},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            detach=True,
        )
        try:
            yield container
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()


@contextmanager
def composed() -> Iterator[Composed]:
    """Start what the file says, and give it out once all are healthy."""
    file = yaml.safe_load(_filled_in(COMPOSE.read_text()))["services"]
    made = Composed(docker.from_env())
    for name in ("broker", "store", "model", "metrics", *SERVICES):
        made.ports[name] = free_port()
    made.api_key = file["gateway"]["environment"]["THREADMILL_API_KEY"]
    try:
        _stand_in(made, "broker", "python", "-m", "deploy.local.broker")
        _stand_in(made, "store", "secantusd-py", "--storage-path", "/data", "--cache-size", "128M")
        for name in ("model", *SERVICES):
            _start(made, name, file[name])
        made.wait_healthy("model", *SERVICES)
        yield made
    finally:
        made.remove()


def _filled_in(text: str) -> str:
    """The file as Compose reads it where none of its variables is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def _stand_in(made: Composed, name: str, *command: str) -> None:
    where = ["--host", HOST, "--port", str(made.ports[name])]
    made.containers[name] = made.client.containers.run(
        EMBEDDED, [*command, *where], name=f"{made.project}-{name}", network_mode="host", detach=True
    )


def _start(made: Composed, name: str, service: dict[str, Any]) -> None:
    health = service["healthcheck"]
    volumes = [volume.partition(":") for volume in service.get("volumes", ())]
    made.containers[name] = made.client.containers.run(
        service["image"],
        [_here(made, str(part)) for part in service.get("command", ())] or None,
        name=f"{made.project}-{name}",
        detach=True,
        network_mode="host",
        environment=_environment(made, name, service.get("environment", {})),
        read_only=service["read_only"],
        cap_drop=service["cap_drop"],
        security_opt=service["security_opt"],
        tmpfs=dict(mount.partition(":")[::2] for mount in service.get("tmpfs", ())),
        mem_limit=service.get("mem_limit"),
        pids_limit=service.get("pids_limit"),
        volumes={f"{made.project}-{source}": {"bind": target} for source, _, target in volumes},
        healthcheck={
            "test": [_here(made, part) for part in health["test"]],
            "interval": SECOND_NS,
            "timeout": 20 * SECOND_NS,
            "retries": int(HEALTHY_WITHIN_S),
        },
    )


def _environment(made: Composed, name: str, told: dict[str, Any]) -> dict[str, str]:
    if not told:
        return {}
    own = {
        "THREADMILL_HOST": HOST,
        "THREADMILL_PORT": str(made.ports[name]),
        "THREADMILL_KAFKA_BOOTSTRAP": f"{HOST}:{made.ports['broker']}",
        "THREADMILL_MOST_PARTITIONS": "8",
        "THREADMILL_MONGO_URL": f"mongodb://{HOST}:{made.ports['store']}/?retryWrites=false&directConnection=true",
    }
    given = {name: str(value) for name, value in told.items() if value is not None}
    if "THREADMILL_METRICS_PORT" in given:
        own["THREADMILL_METRICS_PORT"] = str(made.ports["metrics"])
    if "THREADMILL_MODEL_URL" in given:
        own["THREADMILL_MODEL_URL"] = f"http://{HOST}:{made.ports['model']}/v1"
    return {**given, **own}


def _here(made: Composed, text: str) -> str:
    """``text`` with the ports of this machine in place of the file's."""
    for number, name in zip(("8000", "8080", "8081", "8082", "8083"), ("model", *SERVICES), strict=True):
        text = text.replace(number, str(made.ports[name]))
    return text.replace("0.0.0.0", HOST)
