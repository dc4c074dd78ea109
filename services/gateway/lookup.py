"""Finding what a request names, or saying that it is not there. A foreign object is not there."""

from collections.abc import Iterable, Sequence

from services.gateway.auth import Caller
from services.gateway.stores.all import Stores
from services.gateway.stores.assistants import AssistantStore
from services.gateway.stores.threads import ThreadStore
from services.gateway.wire.files import check_image
from services.gateway.wire.messages import CreateMessageFields, files_in
from services.gateway.wire.resources import ToolResources
from shared import clock
from shared.errors import InvalidRequest, NotFound
from shared.runs.model import Run
from shared.stores.database import Document
from shared.tasks import both


async def find_assistant(stores: Stores, caller: Caller, assistant_id: str) -> Document:
    found = await stores.assistants.get(caller.project_id, assistant_id)
    if found is None:
        raise missing("assistant", assistant_id)
    return found


async def made_before(store: AssistantStore | ThreadStore, caller: Caller, prefix: str) -> Document | None:
    """Return what an earlier try of the same request made, if it came so far."""
    if not caller.attempt.again:
        return None
    return await store.get(caller.project_id, caller.attempt.first_id(prefix))


async def find_thread(stores: Stores, caller: Caller, thread_id: str) -> Document:
    found = await stores.threads.get(caller.project_id, thread_id)
    if found is None:
        raise missing("thread", thread_id)
    return found


async def find_message(stores: Stores, caller: Caller, thread_id: str, message_id: str) -> Document:
    _, found = await both(find_thread(stores, caller, thread_id), stores.messages.get(thread_id, message_id))
    if found is None:
        raise missing("message", message_id)
    return found


async def find_vector_store(stores: Stores, caller: Caller, vector_store_id: str) -> Document:
    """Return one that was not deleted; it may have expired."""
    found = await stores.vector_stores.get(caller.project_id, vector_store_id)
    if found is None:
        raise no_vector_store(vector_store_id)
    return found


async def find_vector_store_file(
    stores: Stores, caller: Caller, vector_store_id: str, file_id: str
) -> Document:
    await find_vector_store(stores, caller, vector_store_id)
    found = await stores.vector_store_files.get(vector_store_id, file_id)
    if found is None:
        raise no_file_in(vector_store_id, file_id)
    return found


async def find_file_batch(stores: Stores, caller: Caller, vector_store_id: str, batch_id: str) -> Document:
    await find_vector_store(stores, caller, vector_store_id)
    found = await stores.file_batches.get(vector_store_id, batch_id)
    if found is None:
        raise NotFound(f"No file batch found with id '{batch_id}' in vector store '{vector_store_id}'.")
    return found


def no_file_in(vector_store_id: str, file_id: str) -> NotFound:
    return NotFound(f"No file found with id '{file_id}' in vector store '{vector_store_id}'.")


def no_vector_store(vector_store_id: str) -> NotFound:
    return NotFound(f"vector store with id '{vector_store_id}' not found.")


async def find_run(stores: Stores, caller: Caller, thread_id: str, run_id: str) -> Run:
    _, run = await both(find_thread(stores, caller, thread_id), stores.runs.get(run_id))
    if run is None or run.thread_id != thread_id or run.project_id != caller.project_id:
        raise missing("run", run_id)
    return run


def missing(kind: str, object_id: str) -> NotFound:
    return NotFound(f"No {kind} found with id '{object_id}'.")


class NoSuchFile(NotFound):
    """Of files, the message is said twice."""

    has_detail = True

    def __init__(self, file_id: str) -> None:
        super().__init__(f"No such File object: {file_id}", param="id")


async def find_file(stores: Stores, caller: Caller, file_id: str) -> Document:
    found = await stores.files.get(caller.project_id, file_id, clock.now())
    if found is None:
        raise NoSuchFile(file_id)
    return found


async def check_named(
    stores: Stores,
    caller: Caller,
    *,
    file_ids: Iterable[str] = (),
    messages: Sequence[CreateMessageFields] = (),
    resources: Sequence[ToolResources | None] = (),
) -> None:
    """Refuse files and vector stores that are not there, and files that are no images where those belong.

    Raises:
        InvalidRequest: for a file.
        NotFound: for a vector store.
    """
    given = [each for each in resources if each is not None]
    named = [*file_ids, *files_in(messages), *(each for one in given for each in one.file_ids())]
    found = await existing_files(stores, caller, named)
    for file_id in (each for message in messages for each in message.image_ids()):
        check_image(found[file_id])
    for vector_store_id in (each for one in given for each in one.vector_store_ids()):
        await find_vector_store(stores, caller, vector_store_id)


async def existing_files(stores: Stores, caller: Caller, file_ids: Iterable[str]) -> dict[str, Document]:
    """Return the files that a request names, by their ids.

    Raises:
        InvalidRequest: one of them is not there.
    """
    wanted = list(dict.fromkeys(file_ids))
    if not wanted:
        return {}
    found = await stores.files.get_many(caller.project_id, wanted, clock.now())
    if unknown := [file_id for file_id in wanted if file_id not in found]:
        raise InvalidRequest(f"The following file ids were not found: {', '.join(unknown)}")
    return found
