"""Replicas of this version beside those of the next: what they read of each other's, and pass over."""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import BaseModel

from deploy.contracts.changes import breaking_changes
from deploy.contracts.schemas import MODELS, schemas
from shared import control, events, topics
from shared.kafka import connect_admin, ensure_topics
from shared.runs.facts import CancelRequested
from shared.runs.model import Json, Run, Settings
from shared.runs.rules import advance, created
from shared.settings import ServiceSettings
from shared.stores.database import Database
from shared.stores.runs import RunStore
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
MORE: Json = {"of_the_next_version": {"deep": [1, "two"]}}
SAMPLES: dict[str, Json] = {
    "RunCommand": {"run_id": "run_1", "thread_id": "thread_1", "reason": "created"},
    "CodeRequested": {
        **dict.fromkeys(("call_id", "run_id", "thread_id", "project_id", "code", "token"), "x"),
        "deadline": 1.5,
        "slots": [{"slot": 3, "stream": "stream_1"}],
    },
    "SearchRequested": {
        **{"call_id": "call_1", "project_id": "p", "deadline": 1.5, "queries": ["q"]},
        **{"vector_store_ids": ["vs_1"], "reply_to": {"slot": 3, "stream": "stream_1"}},
    },
    "ToolResult": {"call_id": "call_1", "run_id": "run_1", "token": "t", "output": "4"},
    "FileCommand": {"project_id": "p", "vector_store_id": "vs_1", "file_id": "f", "reason": "added"},
    "Frame": {"run_id": "run_1", "epoch": 1, "seq": 1, "event": "e", "data": {}, "streams": ["stream_1"]},
    "Control": {"run_id": "run_1", "thread_id": "thread_1", "slot": {"slot": 3, "stream": "stream_1"}},
    "ThreadEvent": {"project_id": "p", "thread_id": "thread_1", "seq": 1},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.__name__)
def test_fields_of_the_next_version_are_passed_over(model: type[BaseModel]) -> None:
    sample = SAMPLES[model.__name__]
    assert model.model_validate_json(json.dumps(with_more(sample))) == model.model_validate(sample)


def with_more(value: Any) -> Any:
    """``value`` with a field more in each object that is not empty."""
    if isinstance(value, list):
        return [with_more(each) for each in value]
    if isinstance(value, dict) and value:
        return {name: with_more(each) for name, each in value.items()} | MORE
    return value


@pytest.mark.parametrize("model", [events.RunCommand, events.FileCommand])
def test_a_reason_of_the_next_version_is_one_to_look(model: type[BaseModel]) -> None:
    sample = SAMPLES[model.__name__]
    read = model.model_validate_json(json.dumps({**sample, "reason": "found_by_moonlight"}))
    assert read == model.model_validate(sample).model_copy(update={"reason": "found_by_moonlight"})
    with pytest.raises(ValueError, match="reason"):
        model.model_validate({**sample, "reason": 7})


async def test_a_control_message_of_the_next_version_is_passed_over(kafka_bootstrap: str) -> None:
    settings = ServiceSettings(kafka_bootstrap=kafka_bootstrap, topic_prefix=f"t{uuid4().hex[:8]}.")
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    heard: list[str] = []
    there = asyncio.Event()
    there.set()
    listening = asyncio.create_task(control.listen(settings, lambda m: heard.append(m.run_id), after=there))
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()
    topic = settings.topic_prefix + topics.CONTROL.name

    async def told(run_id: str, **more: Any) -> None:
        body = {**SAMPLES["Control"], "run_id": run_id, **more}
        await producer.send_and_wait(topic, json.dumps(body).encode(), partition=0)

    async def listens() -> bool:
        await told("to_begin_with")
        return bool(heard)

    async def went_on() -> bool:
        return heard[-1] == "known"

    try:
        await eventually(listens, within_s=60)
        await told("unknown", type="rewind")
        await told("known", type="cancel", **MORE)
        await eventually(went_on, within_s=60)
        assert "unknown" not in heard
        assert not listening.done()
    finally:
        await producer.stop()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_run_that_the_next_version_stored_is_read_and_changed(db: Database) -> None:
    store, now = RunStore(db), time.time()
    run = Run(
        id="run_1",
        project_id="p",
        thread_id="thread_1",
        assistant_id="asst_1",
        created_at=int(now),
        expires_at=int(now) + 600,
        settings=Settings(model="m"),
    )
    run = await store.add(created(run, now))
    document = await db["runs"].find_one({"_id": run.id})
    assert document is not None
    later = {
        "events": [{**event, **MORE} for event in document["events"]],
        "published": {**document["published"], **MORE},
        "settings": json.dumps({**json.loads(document["settings"]), **MORE}),
        "schema_version": 2,
        **MORE,
    }
    await db["runs"].update_one({"_id": run.id}, {"$set": later})
    read = await store.get(run.id)
    assert read == run.evolve(schema_version=2)
    changed, taken = await store.change(read, lambda r: advance(r, CancelRequested(now)))
    assert taken
    assert await store.get(run.id) == changed
    document = await db["runs"].find_one({"_id": run.id})
    assert document is not None
    assert (document["of_the_next_version"], document["schema_version"]) == (MORE["of_the_next_version"], 2)


def test_nothing_is_broken_of_what_the_last_release_promised() -> None:
    tag = git("describe", "--tags", "--abbrev=0", "--match=v*")
    if tag is None:
        pytest.skip("no release is tagged here")
    current = schemas()
    for path in (git("ls-tree", "--name-only", tag, "docs/schemas/") or "").split():
        old, name = json.loads(git("show", f"{tag}:{path}") or "{}"), Path(path).stem
        assert name in current, f"{name} is gone"
        assert breaking_changes(old, current[name]) == [], name


def git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
