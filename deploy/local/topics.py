"""The broker as a program, and its topics."""

import asyncio
import sys
from collections.abc import Mapping

from deploy.local.probes import accepts
from deploy.local.program import Program, Turn
from deploy.local.programs import BROKER, LOOPBACK, public


def broker(port: int, environ: Mapping[str, str], service_env: Mapping[str, str]) -> Program:
    """Our broker keeps its records in memory: each of its lives needs the topics anew."""

    async def prepare() -> None:
        await create_topics(service_env)

    return Program(
        name=BROKER,
        command=(sys.executable, "-m", "deploy.local.broker", "--host", LOOPBACK, "--port", str(port)),
        env=public(environ),
        probe=accepts(LOOPBACK, port),
        prepare=prepare,
        turn=Turn.BROKER,
    )


async def create_topics(service_env: Mapping[str, str]) -> None:
    """Create the topics that services with this environment use, unless it says that others do that."""
    # In a thread, because importing what it takes needs longer than the broker does to start,
    # and the other processes are looked after meanwhile.
    await asyncio.to_thread(_create_topics, service_env)


def _create_topics(service_env: Mapping[str, str]) -> None:
    from deploy.operate.topics import create_on
    from shared.settings import PREFIX, ServiceSettings

    names = {name: PREFIX + name.upper() for name in ServiceSettings.model_fields}
    settings = ServiceSettings.model_validate(
        {name: service_env[variable] for name, variable in names.items() if variable in service_env}
    )

    if settings.create_topics:
        asyncio.run(create_on(settings))
