"""The broker as a program, and its topics."""

import asyncio
import sys
from collections.abc import Mapping

from deploy.local.probes import accepts
from deploy.local.program import Program, Turn
from deploy.local.programs import BROKER, LOOPBACK, public


def broker(port: int, environ: Mapping[str, str]) -> Program:
    """Our broker keeps its records in memory: each of its lives needs the topics anew."""

    async def prepare() -> None:
        await create_topics(f"{LOOPBACK}:{port}")

    return Program(
        name=BROKER,
        command=(sys.executable, "-m", "deploy.local.broker", "--host", LOOPBACK, "--port", str(port)),
        env=public(environ),
        probe=accepts(LOOPBACK, port),
        prepare=prepare,
        turn=Turn.BROKER,
    )


async def create_topics(bootstrap: str) -> None:
    # In a thread, because importing what it takes needs longer than the broker does to start,
    # and the other processes are looked after meanwhile.
    await asyncio.to_thread(_create_topics, bootstrap)


def _create_topics(bootstrap: str) -> None:
    from shared.kafka import connect_admin, ensure_topics
    from shared.settings import ServiceSettings

    async def create() -> None:
        admin = await connect_admin(bootstrap)
        try:
            await ensure_topics(admin, ServiceSettings(kafka_bootstrap=bootstrap))
        finally:
            await admin.close()

    asyncio.run(create())
