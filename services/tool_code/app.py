"""Wires tool_code together. Nothing here decides anything."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from starlette.applications import Starlette

from services.tool_code.calls import Calls
from services.tool_code.files import Files
from services.tool_code.handlers import Handlers
from services.tool_code.room import most_sandboxes
from services.tool_code.sandbox.choose import Unavailable, choose_backend
from services.tool_code.sandbox.pool import Pool
from services.tool_code.sessions import Sessions
from services.tool_code.settings import Settings
from shared import clock, control, metrics, process
from shared.broker_watch import BrokerWatch
from shared.events import CodeRequested
from shared.failpoints import failpoint
from shared.files.choose import storage_for
from shared.files.library import Library
from shared.intake import Intake
from shared.publisher import Publisher
from shared.records import Records
from shared.stores.database import PyMongoError, connect
from shared.stores.executions import ExecutionStore
from shared.stores.files import FileStore
from shared.stores.store_time import following
from shared.tasks import in_background, until_done
from shared.topics import TOOL_CODE_GROUP, TOOL_REQUESTS_CODE

log = logging.getLogger(__name__)

GROUP = TOOL_CODE_GROUP
UPKEEP_S = 60.0


class ToolCode:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        self._db = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
        self._executions = ExecutionStore(self._db, self._owner, settings.lease_s)
        self._publisher = Publisher(settings, client_id="tool-code")
        self._watch = BrokerWatch(settings, self._publisher)
        self._sandbox = "starting"

    @asynccontextmanager
    async def run(self, app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(self._db.client.close)
            await until_done(self._executions.create_indexes, PyMongoError, what="the store")
            await stack.enter_async_context(following(self._db))
            sessions, why_not = await self._open_sandboxes(stack)
            await stack.enter_async_context(self._publisher)
            storage = await stack.enter_async_context(storage_for(self._settings, self._db))
            room_bytes = self._settings.sandbox_limits.disk_bytes * 3 // 4
            files = Files(Library(FileStore(self._db), storage), room_bytes)
            calls = Calls(
                self._executions, sessions, files, self._publisher, self._settings.call_timeout_s, why_not
            )
            handlers = Handlers(calls, self._publisher)
            records = Records(
                CodeRequested,
                handlers.on_code_requested,
                handlers.give_up,
                self._publisher,
                tries=self._settings.record_tries,
            )
            intake = Intake(
                self._settings,
                self._settings.topic_prefix + TOOL_REQUESTS_CODE.name,
                GROUP,
                records.take,
                most=self._settings.concurrent_calls,
                drain_s=self._settings.drain_s,
            )
            for work in (
                self._watch.run(),
                self._heartbeat(),
                self._upkeep(sessions),
                control.listen(self._settings, handlers.on_control, after=self._watch.seen),
                intake.run(after=self._watch.seen),
            ):
                await stack.enter_async_context(in_background(work))
            yield

    async def checks(self) -> dict[str, str]:
        try:
            await self._db.command("ping")
        except PyMongoError as error:
            return {"store": type(error).__name__}
        return {"store": "ok", "kafka": self._watch.state, "sandbox": self._sandbox}

    async def _open_sandboxes(self, stack: AsyncExitStack) -> tuple[Sessions | None, str]:
        chosen = await asyncio.to_thread(
            choose_backend,
            self._settings.sandbox,
            limits=self._settings.sandbox_limits,
            scratch=self._settings.scratch,
            image=self._settings.sandbox_image,
            runtime=self._settings.sandbox_runtime,
            pods=self._settings.pods,
        )
        if isinstance(chosen, Unavailable):
            metrics.SANDBOX.labels("none").set(1)
            self._sandbox = "ok without: code is answered with the reason"
            return None, str(chosen)
        metrics.SANDBOX.labels(chosen.name).set(1)
        self._sandbox = f"ok {chosen.name}: {chosen.description}"
        pool = Pool(chosen, self._settings.warm_sandboxes)
        most = self._settings.most_sandboxes or most_sandboxes()
        sessions = Sessions(self._db, pool, self._owner, idle_s=self._settings.session_idle_s, most=most)
        stack.push_async_callback(pool.close)
        await stack.enter_async_context(in_background(pool.run()))
        stack.push_async_callback(sessions.close)
        return sessions, ""

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            try:
                await self._executions.heartbeat(clock.now())
                failpoint("tool_code.heartbeat_done")
            except PyMongoError as error:
                log.error("could not renew leases", exc_info=error)

    async def _upkeep(self, sessions: Sessions | None) -> None:
        while True:
            await asyncio.sleep(UPKEEP_S)
            try:
                await self._executions.forget_old(clock.now())
            except PyMongoError as error:
                log.error("could not forget old results", exc_info=error)
            if sessions:
                await sessions.evict_idle()


def build_app(settings: Settings) -> Starlette:
    service = ToolCode(settings)
    return process.worker_app(service.run, service.checks)
