"""An orchestrator in this process, and runs to give it: for tests of the orchestrator alone."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pydantic import HttpUrl, SecretStr

from services.run_orchestrator.app import build_app
from services.run_orchestrator.settings import Settings
from shared import topics
from shared.events import RunCommand, ToolResult
from shared.ids import new_id
from shared.publisher import Publisher
from shared.runs import model as m
from shared.runs.rules import created
from shared.stores.database import Database
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from tests.eventually import eventually
from tests.model_server import ModelServer
from tests.threads import messages_of

SECRET = SecretStr("secret of the tests")
CODE_INTERPRETER: m.Json = {"type": "code_interpreter"}
FILE_SEARCH: m.Json = {"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 0.0}}}


def orchestrator_settings(kafka: str, mongo: str, db: Database, model: ModelServer, **more: Any) -> Settings:
    return Settings(
        kafka_bootstrap=kafka,
        mongo_url=SecretStr(mongo),
        mongo_database=db.name,
        topic_prefix=f"t{uuid4().hex[:8]}.",
        model_url=HttpUrl(model.url),
        call_secret=SECRET,
        **{"sweep_s": 0.3, **more},
    )


@dataclass
class Client:
    """What the gateway would do."""

    settings: Settings
    db: Database
    publisher: Publisher

    @property
    def runs(self) -> RunStore:
        return RunStore(self.db)

    @property
    def messages(self) -> MessageStore:
        return MessageStore(self.db)

    async def say(self, thread_id: str, text: str) -> None:
        now = time.time()
        message = {
            "id": new_id("msg"),
            "created_at": int(now),
            "assistant_id": None,
            "thread_id": thread_id,
            "run_id": None,
            "status": "completed",
            "incomplete_details": None,
            "incomplete_at": None,
            "completed_at": int(now),
            "role": "user",
            "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
            "attachments": [],
            "metadata": {},
        }
        await self.messages.add(message, project_id="p", at=now)

    async def create_run(
        self, *, model: str = "any", tools: tuple[m.Json, ...] = (), ring: bool = True, **settings: Any
    ) -> m.Run:
        """A run on a new thread, or on that of ``thread_id``, with one more message."""
        now, thread_id = time.time(), settings.pop("thread_id", None) or new_id("thread")
        await self.say(thread_id, "Hello")
        expires_at = int(now) + settings.pop("life_s", 600)
        run = m.Run(
            id=new_id("run"),
            project_id="p",
            thread_id=thread_id,
            assistant_id="asst_1",
            created_at=int(now),
            expires_at=expires_at,
            settings=m.Settings(model=model, tools=tools, **settings),
            input_upto=await self.messages.last_seq(thread_id),
        )
        run = await self.runs.add(created(run, now))
        if ring:
            await self.ring(run, "created")
        return run

    async def ring(self, run: m.Run, reason: Any) -> None:
        run = await self.publisher.announce(run)
        command = RunCommand(run_id=run.id, thread_id=run.thread_id, reason=reason, published=run.published)
        await eventually(lambda: self.publisher.command(command))  # new topics take a moment

    async def answer(self, result: ToolResult) -> None:
        await eventually(lambda: self.publisher.request(topics.TOOL_RESULTS, result.run_id, result))

    async def until(
        self, run: m.Run, *statuses: str, phase: str | None = None, within_s: float = 60
    ) -> m.Run:
        async def reached() -> m.Run | None:
            found = await self.runs.get(run.id)
            assert found is not None
            return found if found.status in statuses and phase in (None, found.phase) else None

        return await eventually(reached, within_s=within_s)

    async def texts(self, thread_id: str) -> list[str]:
        """The thread's listed messages, oldest first."""
        found = await messages_of(self.messages, thread_id)
        return [message["content"][0]["text"]["value"] for message in found]


@asynccontextmanager
async def orchestrator(settings: Settings, db: Database) -> AsyncIterator[Client]:
    app = build_app(settings)
    async with app.router.lifespan_context(app), Publisher(settings, client_id="test") as publisher:
        yield Client(settings, db, publisher)
