"""``threadmill doctor``: looks at what a deployment needs, as its services would, and says what is wrong."""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shared import topics
from shared.kafka import connect_admin
from shared.settings import PREFIX, ServiceSettings
from shared.stores.database import Database, OperationFailure, PyMongoError, connect

PATIENCE_S = 10.0
LOCK_INDEX = "one_active_per_thread"
NOT_ALLOWED = 13  # MongoDB's code


@dataclass(frozen=True)
class Finding:
    """One line. ``ok`` is None where something can be better, but works."""

    what: str
    said: str
    ok: bool | None = True

    def __str__(self) -> str:
        mark = {True: "ok  ", None: "note", False: "BAD "}[self.ok]
        return f"{mark} {self.what}: {self.said}"


Check = Callable[[], Awaitable[list[Finding]]]


async def doctor(services: Sequence[str], probes: Sequence[str]) -> int:
    """Print a line for each finding; return the exit code: 1 if anything is bad.

    Args:
        services: Whose settings are in the environment.
        probes: Addresses of running services, whose ``/readyz`` is asked.
    """
    bad = False
    for check in _checks(services, probes):
        for finding in await check():
            bad = bad or finding.ok is False
            sys.stdout.write(f"{finding}\n")
            sys.stdout.flush()
    return 1 if bad else 0


def _checks(services: Sequence[str], probes: Sequence[str]) -> Iterator[Check]:
    loaded: dict[str, ServiceSettings] = {}

    async def settings() -> list[Finding]:
        return [finding for name in services for finding in _load(name, loaded)]

    yield settings
    common = next(iter(loaded.values()), None)
    if common is not None:
        yield lambda: kafka(common)
        yield lambda: store(common)
    for name, check in (("run_orchestrator", model), ("tool_code", sandbox)):
        if name in loaded:
            yield lambda check=check, found=loaded[name]: check(found)  # type: ignore[misc]
    for url in probes:
        yield lambda url=url: probe(url)  # type: ignore[misc]


def _load(name: str, loaded: dict[str, ServiceSettings]) -> list[Finding]:
    try:
        # by name: an image holds what one service needs, and the doctor looks at that one there
        loaded[name] = importlib.import_module(f"services.{name}.settings").Settings()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        return [Finding(f"settings of {name}", _problem(p["loc"], p["msg"]), ok=False) for p in problems]
    return [Finding(f"settings of {name}", "complete")]


def _problem(where: tuple[int | str, ...], message: str) -> str:
    variable = PREFIX + "_".join(str(part) for part in where).upper()
    return f"{variable}: {message}" if where else message


async def kafka(settings: ServiceSettings) -> list[Finding]:
    what = f"Kafka at {settings.kafka_bootstrap}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            admin = await connect_admin(settings)
            try:
                return [Finding(what, "reachable"), *await _topics(admin, settings)]
            finally:
                await admin.close()
    except (KafkaError, OSError) as error:
        return [Finding(what, f"not reachable: {error!r}", ok=False)]


async def _topics(admin: AIOKafkaAdminClient, settings: ServiceSettings) -> list[Finding]:
    most = settings.most_partitions
    wanted = {
        settings.topic_prefix + topic.name: topic.at_most(most) if most else topic.partitions
        for topic in topics.ALL
    }
    listed = set(await admin.list_topics())
    missing = sorted(wanted.keys() - listed)
    findings = []
    if missing and not settings.create_topics:
        told = f"missing: {', '.join(missing)}; run: threadmill topics create"
        findings.append(Finding("topics", told, ok=False))
    elif missing:
        findings.append(Finding("topics", f"{len(missing)} missing; the services create them", ok=None))
    for topic in await admin.describe_topics(sorted(wanted.keys() & listed)):
        name, parts = topic["topic"], topic["partitions"]
        if len(parts) < wanted[name]:
            told = f"{len(parts)} partitions instead of {wanted[name]}"
            findings.append(Finding(f"topic {name}", told, ok=None))
        copies = min((len(part["replicas"]) for part in parts), default=0)
        if copies < settings.topic_replication:
            told = f"{copies} copies instead of {settings.topic_replication}: a lost broker can lose records"
            findings.append(Finding(f"topic {name}", told, ok=None))
        if any(part["leader"] < 0 for part in parts):
            findings.append(Finding(f"topic {name}", "a partition has no leader", ok=False))
    return findings or [Finding("topics", f"all {len(wanted)} are there")]


async def store(settings: ServiceSettings) -> list[Finding]:
    db = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
    try:
        async with asyncio.timeout(PATIENCE_S):
            hello = await db.command("hello")
            findings = [Finding("MongoDB", f"reachable, database {settings.mongo_database}")]
            if not hello.get("isWritablePrimary", True):
                findings.append(Finding("MongoDB", "not the primary: name the replica set", ok=False))
            if "setName" not in hello:
                findings.append(Finding("MongoDB", "no replica set: a lost disk loses everything", ok=None))
            await db["files"].find_one({"_id": ""})  # what every service may
            findings.append(await _indexes(db))
    except OperationFailure as error:
        return [Finding("MongoDB", f"refuses: {(error.details or {}).get('errmsg', error.code)}", ok=False)]
    except (PyMongoError, TimeoutError) as error:
        return [Finding("MongoDB", f"not reachable: {type(error).__name__}", ok=False)]
    finally:
        db.client.close()
    return findings


async def _indexes(db: Database) -> Finding:
    try:
        found = await db["runs"].index_information()
    except OperationFailure as error:
        if error.code != NOT_ALLOWED:
            raise
        return Finding("indexes", "not looked at: this user does not reach the runs", ok=None)
    if LOCK_INDEX in found:
        return Finding("indexes", "there")
    return Finding("indexes", "not there yet; the services make them when they start", ok=None)


async def model(settings: Any) -> list[Finding]:
    what, url = f"model at {settings.model_url}", f"{str(settings.model_url).rstrip('/')}/models"
    key = settings.model_api_key.get_secret_value()
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    except (httpx2.HTTPError, OSError) as error:
        return [Finding(what, f"not reachable: {type(error).__name__}", ok=False)]
    if answer.status_code in (401, 403):
        return [Finding(what, f"refuses THREADMILL_MODEL_API_KEY ({answer.status_code})", ok=False)]
    if answer.status_code == 404:
        return [Finding(what, "reachable; it has no list of models", ok=None)]
    return [Finding(what, f"answers {answer.status_code}", ok=answer.status_code == 200)]


async def sandbox(settings: Any) -> list[Finding]:
    from services.tool_code.sandbox.choose import Unavailable, choose_backend
    from services.tool_code.sandbox.errors import SandboxUnavailable

    with tempfile.TemporaryDirectory() as scratch:
        try:
            chosen = await asyncio.to_thread(
                choose_backend,
                settings.sandbox,
                limits=settings.sandbox_limits,
                scratch=Path(scratch),
                image=settings.sandbox_image,
                runtime=settings.sandbox_runtime,
                pods=settings.pods,
            )
        except SandboxUnavailable as error:
            return [Finding("sandbox", str(error), ok=False)]
        if isinstance(chosen, Unavailable):
            return [Finding("sandbox", f"none works on this machine: {chosen}", ok=False)]
        await chosen.close()
        return [Finding("sandbox", f"{chosen.name}: {chosen.description}")]


async def probe(url: str) -> list[Finding]:
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.get(f"{url.rstrip('/')}/readyz")
    except (httpx2.HTTPError, OSError) as error:
        return [Finding(url, f"not reachable: {type(error).__name__}", ok=False)]
    return [Finding(url, answer.text, ok=answer.status_code == 200)]


if __name__ == "__main__":  # in the image of a service: python -m deploy.operate.doctor tool_code
    sys.exit(asyncio.run(doctor(sys.argv[1:], [])))
