"""Finding what a request names, or saying that it is not there. A foreign object is not there."""

from collections.abc import Iterable

from services.gateway.auth import Caller
from services.gateway.stores.all import Stores
from services.gateway.wire.resources import ToolResources
from shared.errors import InvalidRequest, NotFound
from shared.runs.model import Run
from shared.stores.database import Document


async def find_assistant(stores: Stores, caller: Caller, assistant_id: str) -> Document:
    found = await stores.assistants.get(caller.project_id, assistant_id)
    if found is None:
        raise missing("assistant", assistant_id)
    return found


async def find_thread(stores: Stores, caller: Caller, thread_id: str) -> Document:
    found = await stores.threads.get(caller.project_id, thread_id)
    if found is None:
        raise missing("thread", thread_id)
    return found


async def find_message(stores: Stores, caller: Caller, thread_id: str, message_id: str) -> Document:
    await find_thread(stores, caller, thread_id)
    found = await stores.messages.get(thread_id, message_id)
    if found is None:
        raise missing("message", message_id)
    return found


async def find_run(stores: Stores, caller: Caller, thread_id: str, run_id: str) -> Run:
    await find_thread(stores, caller, thread_id)
    run = await stores.runs.get(run_id)
    if run is None or run.thread_id != thread_id or run.project_id != caller.project_id:
        raise missing("run", run_id)
    return run


def missing(kind: str, object_id: str) -> NotFound:
    return NotFound(f"No {kind} found with id '{object_id}'.")


def check_files(file_ids: Iterable[str]) -> None:
    """Refuse files that are not there, which is any: this server keeps none yet.

    Raises:
        InvalidRequest: names those.
    """
    if unknown := list(dict.fromkeys(file_ids)):
        raise InvalidRequest(f"The following file ids were not found: {', '.join(unknown)}")


def check_resources(resources: ToolResources | None) -> None:
    """Refuse files and vector stores that are not there.

    Raises:
        InvalidRequest: for a file, or a vector store to be made.
        NotFound: for a vector store that is named.
    """
    if resources is None:
        return
    check_files(resources.file_ids())
    for vector_store_id in resources.vector_store_ids():
        raise NotFound(f"vector store with id '{vector_store_id}' not found.")
    if resources.helpers():
        param = "tool_resources.file_search.vector_stores"
        raise InvalidRequest("This server does not keep vector stores.", param=param)
