"""How a run comes to be. Its insert is the lock of the thread."""

from collections.abc import Sequence

from services.gateway.auth import Caller
from services.gateway.stores.all import Stores
from services.gateway.version import Version
from services.gateway.wire.messages import CreateMessageFields, new_message
from services.gateway.wire.runs import RunFields
from services.gateway.wire.tools import check_json_mode
from shared import clock, tracing
from shared.errors import InvalidRequest, Stale
from shared.failpoints import failpoint
from shared.runs.model import Run, Settings
from shared.runs.rules import created
from shared.stores.database import Document
from shared.stores.runs import ThreadBusy

MAX_TRIES = 3
NOTHING_TO_DO = "Run creation requires a Thread with a user message or an assistant with instructions."


def new_run(body: RunFields, settings: Settings, thread_id: str, caller: Caller, expiry_s: int) -> Run:
    """The run that ``body`` asks for, not yet stored.

    Raises:
        InvalidRequest: its tools do not go with its response format.
    """
    check_json_mode(settings.tools, settings.response_format)
    now = int(clock.now())
    return Run(
        id=caller.new_id("run"),
        project_id=caller.project_id,
        thread_id=thread_id,
        assistant_id=body.assistant_id,
        created_at=now,
        expires_at=now + expiry_s,
        settings=settings,
        metadata=body.metadata or {},
        trace=tracing.traceparent(),
    )


async def add_messages(
    stores: Stores,
    caller: Caller,
    thread_id: str,
    bodies: Sequence[CreateMessageFields],
    *,
    behind: int | None = None,
) -> list[Document]:
    """Append messages of a client, in their order; ``behind`` the thread's last one, if that is known."""
    now = clock.now()
    added: list[Document] = []
    for body in bodies:
        message = new_message(body, caller.new_id("msg"), thread_id, int(now))
        added.append(await stores.messages.add(message, project_id=caller.project_id, at=now, behind=behind))
        behind = added[-1]["seq"]
    return added


async def require_idle(stores: Stores, thread_id: str) -> None:
    if active := await stores.runs.active_id(thread_id):
        raise has_active_run(thread_id, active)


async def require_input(
    stores: Stores, caller: Caller, run: Run, more: Sequence[CreateMessageFields]
) -> None:
    """v2 only: a model that is told nothing has nothing to do.

    Raises:
        InvalidRequest: there are neither instructions nor a message of a user.
    """
    if caller.version is Version.V1 or run.settings.instructions:
        return
    if any(message.role == "user" for message in more):
        return
    if not await stores.messages.has_user_message(run.thread_id):
        raise InvalidRequest(NOTHING_TO_DO, code="invalid_thread")


async def start(stores: Stores, run: Run, new_messages: Sequence[Document]) -> Run:
    """Store the run, to read the thread up to here.

    ``new_messages`` came with the run; they go if it cannot start.

    Raises:
        InvalidRequest: another run of the thread is active.
    """
    for _ in range(MAX_TRIES):
        upto = await _last_seen(stores, run.thread_id, new_messages)
        try:
            failpoint("gateway.run_unsaved")
            run = await stores.runs.add(created(run.evolve(input_upto=upto), clock.now()))
            failpoint("gateway.run_saved")
            return await _with_latest_input(stores, run)
        except ThreadBusy:
            active = await stores.runs.active_id(run.thread_id)
            if active is None:
                continue  # it ended this very moment
            if active == run.id and (same := await stores.runs.get(run.id)):
                return same  # a repeat of the same request
            for message in new_messages:
                await stores.messages.delete(message["_id"], at=clock.now())
            raise has_active_run(run.thread_id, active) from None
    raise Stale(run.thread_id)


async def _last_seen(stores: Stores, thread_id: str, new_messages: Sequence[Document]) -> int:
    """Return the last message that is known of; what came behind it is found once the run has the lock."""
    if new_messages:
        return int(new_messages[-1]["seq"])
    return stores.messages.seen_seq(thread_id) or await stores.messages.last_seq(thread_id)


async def _with_latest_input(stores: Stores, run: Run) -> Run:
    """Let the run read what this gateway did not know of before it had the lock.

    Whoever posted it saw an idle thread. What comes from now on is refused: see
    ``withdraw_if_late``. Nobody works on the run yet, since nobody was told of it.
    """
    last = await stores.messages.last_seq(run.thread_id)

    def read_on(run: Run) -> Run:
        return run.evolve(input_upto=last) if run.epoch == 0 and run.input_upto < last else run

    if read_on(run) is run:
        return run
    run, _ = await stores.runs.change(run, read_on)
    return run


def has_active_run(thread_id: str, run_id: str) -> InvalidRequest:
    return InvalidRequest(f"Thread {thread_id} already has an active run {run_id}.")
