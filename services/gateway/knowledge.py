"""What the file search of an assistant looks into: a vector store made with it, or the files of v1.

v1 knows no vector stores: its files are kept in one behind the scenes, which v2 shows. A file that leaves the
assistant in v1 leaves the store; what v2 does to the store is not seen in v1.
"""

from collections.abc import Callable

from services.gateway.auth import Caller
from services.gateway.lookup import existing_files
from services.gateway.shelves import Shelves
from services.gateway.stores.all import Stores
from services.gateway.wire.files import check_searchable
from services.gateway.wire.messages import FILE_SEARCH
from services.gateway.wire.resources import ToolResources, searched, with_vector_store
from services.gateway.wire.vector_stores import new_files
from shared.runs.model import Json
from shared.stores.database import Document


async def with_helper(shelves: Shelves, caller: Caller, new: Json, said: ToolResources | None) -> Json:
    """Make the vector store that is described for the ``new`` assistant; return that with it."""
    for helper in said.helpers() if said else ():
        fields = {"helper": True, "metadata": helper.metadata or {}}
        made = await shelves.create(caller, caller.new_id("vs"), fields, helper.new_files())
        return new | {"tool_resources": with_vector_store(new["tool_resources"], made["_id"])}
    return new


async def with_v1_files(stores: Stores, shelves: Shelves, caller: Caller, before: Json, after: Json) -> Json:
    """Put the files that v1 gives an assistant into its vector store, and take out those that it took away.

    Returns ``after``, naming the store. Safe to repeat.

    Raises:
        InvalidRequest: a file cannot be searched.
    """
    after = _naming(after, caller.attempt.first_id("vs"))
    added = [each for each in _wanted(after) if each not in _wanted(before)]
    check_searchable((await existing_files(stores, caller, added)).values())
    for vector_store_id in searched(after["tool_resources"]):
        store = await stores.vector_stores.get(caller.project_id, vector_store_id)
        if store is None:
            await shelves.create(caller, vector_store_id, {"helper": True}, new_files(_wanted(after)))
        elif added:
            await shelves.put(caller, store, new_files(added))
        for file_id in _wanted(before):
            if file_id not in _wanted(after):
                await shelves.take_out(vector_store_id, caller.project_id, file_id)
    return after


async def change_in_v1(
    stores: Stores, shelves: Shelves, caller: Caller, assistant_id: str, step: Callable[[Document], Json]
) -> Document | None:
    """Change an assistant as v1 does; None if there is none. ``step`` as in ``AssistantStore.change``."""
    before = await stores.assistants.get(caller.project_id, assistant_id)
    if before is None:
        return None
    made = caller.attempt.first_id("vs")
    planned = await with_v1_files(stores, shelves, caller, before, before | step(before))

    def full_step(old: Document) -> Json:
        changes = step(old)
        named = _naming(old | changes, made)
        return changes | {name: named[name] for name in ("tool_resources", "v1_store") if name in named}

    after = await stores.assistants.change(caller.project_id, assistant_id, full_step)
    if after is not None and _knowledge(after) != _knowledge(planned):  # somebody else changed it, too
        await with_v1_files(stores, shelves, caller, {**planned, "files": []}, after)
    if planned.get("v1_store") == made and (after is None or made not in searched(after["tool_resources"])):
        await shelves.delete_helper(caller.project_id, made)
    return after


async def forget(shelves: Shelves, project_id: str, assistant: Document) -> None:
    """The assistant is gone, and with it what was kept behind the scenes."""
    if vector_store_id := assistant.get("v1_store"):
        await shelves.delete_helper(project_id, vector_store_id)


def _wanted(assistant: Json) -> list[str]:
    """The files of v1 that its file search is to find."""
    searches = any(tool["type"] == FILE_SEARCH for tool in assistant["tools"])
    return [file["id"] for file in assistant.get("files", ())] if searches else []


def _naming(assistant: Json, new_store: str) -> Json:
    """The assistant with a vector store, if it needs one and has none."""
    if not _wanted(assistant) or searched(assistant["tool_resources"]):
        return assistant
    resources = with_vector_store(assistant["tool_resources"], new_store)
    return assistant | {"tool_resources": resources, "v1_store": new_store}


def _knowledge(assistant: Json) -> tuple[list[str], list[str]]:
    return searched(assistant["tool_resources"]), _wanted(assistant)
