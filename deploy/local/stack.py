"""Threadmill on one machine: started as processes, handed out as addresses, stopped without leftovers.

The command ``threadmill up``, the tests and the bench all start it here.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import programs
from deploy.local.folder import DataFolder
from deploy.local.keeper import Restarts
from deploy.local.ports import free_port
from deploy.local.program import Output
from deploy.local.programs import GATEWAY, LOOPBACK, SERVICES, Model
from deploy.local.supervisor import Supervisor
from deploy.local.topics import broker, create_topics


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to start. An address that is given is used; one that is not, is started."""

    data: Path
    services: tuple[str, ...] = SERVICES
    host: str = LOOPBACK
    port: int = 0  # of the API; 0 takes any that is free
    kafka: str | None = None
    mongo: str | None = None
    sync: bool = False  # the store waits for the disk at each write
    model: Model | None = None
    model_aliases: Mapping[str, str] = field(default_factory=dict)  # for the demo model
    model_chunk_delay_ms: float = 0.0  # of the demo model
    api_key: str = field(default="", repr=False)  # "": the one in the data folder
    sandbox: str = "auto"
    log_level: str = "info"
    restarts: Restarts | None = None  # None: a process that ends stays away until ``Stack.start``
    ready_within_s: float = 60.0
    env: Mapping[str, str] = field(default_factory=dict)  # for every service
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)


MOST_PARTITIONS = 8  # a poll names all of its topics, there and back; more workers are not on one machine
DEMO_MODEL_NAME = "the demo model: a script, not an AI"


def log_output(name: str, line: str) -> None:
    logging.getLogger(f"process.{name}").info("%s", line)


class Stack:
    """The processes of one ``Options``, from ``async with`` on.

    A service is named as its package; ``run_orchestrator-2`` is a second process of the same kind.
    """

    def __init__(self, options: Options, output: Output = log_output) -> None:
        self._options = options
        self._folder = DataFolder(options.data)
        self._ports: dict[str, int] = {GATEWAY: options.port or free_port()}
        self._model = options.model or Model(
            url=f"http://{LOOPBACK}:{self._port(programs.MODEL)}/v1", aliases=options.model_aliases
        )
        self._supervisor = Supervisor(output, options.restarts)
        self.kafka_bootstrap = options.kafka or f"{LOOPBACK}:{self._port(programs.BROKER)}"
        self.mongo_url = options.mongo or programs.store_url(self._port(programs.STORE))
        self.base_url = f"http://{programs.reachable(options.host)}:{self._ports[GATEWAY]}/v1"
        self.model_url = self._model.url
        self.model_name = self.model_url if options.model else DEMO_MODEL_NAME
        self.api_key = options.api_key or self._folder.api_key()

    async def __aenter__(self) -> Self:
        try:
            await self._start_all()
        except BaseException:
            await self._supervisor.stop_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._supervisor.stop_all()

    async def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start the process ``name``, again or for the first time, and wait until it is ready.

        Args:
            name: Of a service, a numbered copy of one, or "broker", "store", "demo_model".
            env: For this life only, on top of what the service has anyway.

        Raises:
            ProgramError: it is not ready in time.
        """
        await self._begin(name, env or {})
        await self._supervisor.wait_ready(name, within_s=self._options.ready_within_s)

    async def stop(self, name: str) -> None:
        """End ``name`` as a deployment does: SIGTERM, and SIGKILL when it takes too long."""
        await self._supervisor.stop(name)

    async def kill(self, name: str) -> None:
        """End ``name`` with SIGKILL, and return when it is gone."""
        await self._supervisor.strike(name)

    def signal(self, name: str, number: int) -> None:
        self._supervisor.signal(name, number)

    def pid(self, name: str) -> int:
        return self._supervisor.pid(name)

    def url(self, name: str) -> str:
        """Where ``name`` answers HTTP: probes and metrics, and the API in the gateway."""
        return f"http://{LOOPBACK}:{self._port(name)}"

    def is_ready(self, name: str) -> bool:
        return self._supervisor.is_ready(name)

    async def watch(self) -> None:
        """Return never; raise ``ProgramError`` when a program has been given up."""
        await self._supervisor.watch()

    def kill_all(self) -> None:
        """End everything now; callable at any time, also while it starts or stops."""
        self._supervisor.kill_all()

    async def _start_all(self) -> None:
        given = {
            programs.STORE: self._options.mongo,
            programs.BROKER: self._options.kafka,
            programs.MODEL: self._options.model,
        }
        names = [name for name, address in given.items() if address is None]
        names += self._options.services
        if self._options.kafka is not None:
            await create_topics(self._common_env())
        # All at once: the services take longer to start than what they use, and wait for it anyway.
        for name in names:
            await self._begin(name, {})
        await self._supervisor.wait_ready(*names, within_s=self._options.ready_within_s)

    async def _begin(self, name: str, env: Mapping[str, str]) -> None:
        environ, port = self._options.environ, self._port(name)
        if name == programs.STORE:
            program = await asyncio.to_thread(
                programs.store, self._folder.store, port, environ, sync=self._options.sync
            )
        elif name == programs.BROKER:
            program = broker(port, environ, self._common_env())
        elif name == programs.MODEL:
            program = programs.demo_model(port, self._options.model_chunk_delay_ms, environ)
        else:
            kind = name.partition("-")[0]
            host = self._options.host if name == GATEWAY else LOOPBACK
            program = programs.service(name, kind, host, port, {**self._service_env(name, kind), **env})
        await self._supervisor.start(program)

    def _service_env(self, name: str, kind: str) -> dict[str, str]:
        own = programs.private_env(
            kind,
            api_key=self.api_key,
            key_pepper=self._options.environ.get("THREADMILL_KEY_PEPPER") or self._folder.key_pepper(),
            call_secret=self._options.environ.get("THREADMILL_CALL_SECRET") or self._folder.call_secret(),
            model=self._model,
            scratch=self._folder.scratch / name,
            sandbox=self._options.sandbox,
            index=self._options.environ.get("THREADMILL_INDEX_URL") or str(self._folder.index),
            embedding_api_key=self._options.environ.get("THREADMILL_EMBEDDING_API_KEY", ""),
            milvus_token=self._options.environ.get("THREADMILL_MILVUS_TOKEN", ""),
            rerank_api_key=self._options.environ.get("THREADMILL_RERANK_API_KEY", ""),
        )
        return {**self._common_env(), **own}

    def _common_env(self) -> dict[str, str]:
        """What all services are told: the surroundings, then where things are, then the caller's wishes."""
        addresses = {
            "THREADMILL_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "THREADMILL_MOST_PARTITIONS": "0" if self._options.kafka else str(MOST_PARTITIONS),
            "THREADMILL_MONGO_URL": self.mongo_url,
            "THREADMILL_LOG_LEVEL": self._options.log_level,
        }
        return {**programs.public(self._options.environ), **addresses, **self._options.env}

    def _port(self, name: str) -> int:
        """Return the port of ``name``: the same in all its lives."""
        return self._ports.setdefault(name, free_port())
