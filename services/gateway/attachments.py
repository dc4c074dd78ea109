"""What the files that come with messages do to their thread: its tools may read them from then on."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.auth import Caller
from services.gateway.lookup import existing_files, find_vector_store
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.version import Version
from services.gateway.wire.files import check_searchable, is_searchable
from services.gateway.wire.messages import CreateMessageFields, files_for_code, files_for_search
from services.gateway.wire.resources import (
    MOST_FILES,
    ToolResources,
    code_files,
    searched,
    with_code_files,
    with_vector_store,
)
from services.gateway.wire.threads import CreateThreadFields
from services.gateway.wire.vector_stores import HELPER_DAYS, NewFile, expires_after_days, new_files
from shared.errors import InvalidRequest
from shared.runs.model import Json
from shared.stores.database import Document

OF_A_THREAD: Json = {"helper": True, "expires_after": expires_after_days(HELPER_DAYS)}


@dataclass(frozen=True)
class NewResources:
    """What a new thread may work on, and what is to be put into its vector store before."""

    stored: Json
    vector_store_id: str | None
    metadata: Json | None  # of a vector store that is to be made; None: it is there
    files: Sequence[NewFile]


async def attach(
    stores: Stores,
    shelves: Shelves,
    caller: Caller,
    thread: Document,
    messages: Sequence[CreateMessageFields],
) -> Document:
    """Give the thread the files of ``messages`` that are about to be posted to it; return it as it now is.

    Raises:
        InvalidRequest: they are more than it may have, or cannot be searched.
    """
    files = await _to_search(stores, caller, messages)
    thread = await _attach_for_code(stores, caller, thread, files_for_code(messages))
    return await _attach_for_search(stores, shelves, caller, thread, files) if files else thread


async def new_resources(
    stores: Stores, caller: Caller, body: CreateThreadFields, more: ToolResources | None
) -> NewResources:
    """What a new thread may work on: what is said of it, ``more`` beside that, the files of its messages.

    Raises:
        InvalidRequest: those are more than it may have, or cannot be searched.
    """
    messages = body.messages or []
    said = [each for each in (body.resources(), more) if each]
    resources = {tool: value for each in said for tool, value in each.stored().items()}
    resources = _checked(with_code_files(resources, files_for_code(messages)), caller)
    files = new_files(await _to_search(stores, caller, messages))
    if named := searched(resources):
        return NewResources(resources, named[0], None, files)
    helpers = [helper for each in said for helper in each.helpers()]
    metadata: Json = {}
    for helper in helpers:
        files, metadata = [*helper.new_files(), *files], helper.metadata or {}
    if not files and not helpers:
        return NewResources(resources, None, None, ())
    made = caller.new_id("vs")
    once = list({file.file_id: file for file in reversed(files)}.values())[::-1]
    return NewResources(with_vector_store(resources, made), made, metadata, once)


async def prepare(stores: Stores, shelves: Shelves, caller: Caller, resources: NewResources) -> None:
    """Make the vector store of a new thread, or put files into one that is there. Safe to repeat."""
    if resources.vector_store_id is None:
        return
    if resources.metadata is not None:
        fields = OF_A_THREAD | {"metadata": resources.metadata}
        await shelves.create(caller, resources.vector_store_id, fields, resources.files)
    elif resources.files:
        store = await find_vector_store(stores, caller, resources.vector_store_id)
        await shelves.put(caller, store, resources.files)


async def _attach_for_code(
    stores: Stores, caller: Caller, thread: Document, files: Sequence[str]
) -> Document:
    if not set(files) - set(code_files(thread["tool_resources"])):
        return thread

    def step(old: Document) -> Json:
        return {"tool_resources": _checked(with_code_files(old["tool_resources"], files), caller)}

    return await stores.threads.change(caller.project_id, thread["_id"], step) or thread


async def _attach_for_search(
    stores: Stores, shelves: Shelves, caller: Caller, thread: Document, files: Sequence[str]
) -> Document:
    """Put ``files`` into the thread's vector store; into a new one if it has none."""
    made = None
    if not searched(thread["tool_resources"]):
        made = await shelves.create(caller, caller.new_id("vs"), OF_A_THREAD)

        def step(old: Document) -> Json:
            if searched(old["tool_resources"]):
                return {}
            return {"tool_resources": with_vector_store(old["tool_resources"], made["_id"])}

        thread = await stores.threads.change(caller.project_id, thread["_id"], step) or thread
    [vector_store_id] = searched(thread["tool_resources"])
    if made is not None and made["_id"] != vector_store_id:  # another message was faster
        await shelves.delete(caller.project_id, made["_id"])
    store = await find_vector_store(stores, caller, vector_store_id)
    await shelves.put(caller, store, new_files(files))
    return thread


async def _to_search(stores: Stores, caller: Caller, messages: Sequence[CreateMessageFields]) -> list[str]:
    """The files that come with ``messages`` for file search.

    In v1 a file is for every tool, so those that cannot be searched are for the others.

    Raises:
        InvalidRequest: one cannot be searched, but its only use is that.
    """
    named = files_for_search(messages)
    found = await existing_files(stores, caller, named)
    if caller.version is not Version.V1:
        check_searchable(found.values())
    return [file_id for file_id in named if is_searchable(found[file_id])]


def _checked(resources: Json, caller: Caller) -> Json:
    """v1 counted the files of each message only."""
    if caller.version is not Version.V1 and (count := len(code_files(resources))) > MOST_FILES:
        param = "tool_resources.code_interpreter.file_ids"
        raise InvalidRequest(
            f"Invalid '{param}': array too long. Expected an array with maximum length {MOST_FILES}, "
            f"but got an array with length {count} instead.",
            param=param,
            code="array_above_max_length",
        )
    return resources
