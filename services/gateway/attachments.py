"""What the files that come with messages do to their thread: its tools may read them from then on."""

from collections.abc import Sequence

from services.gateway.auth import Caller
from services.gateway.stores.all import Stores
from services.gateway.version import Version
from services.gateway.wire.messages import CreateMessageFields, files_for_code
from services.gateway.wire.resources import MOST_FILES, ToolResources, code_files, with_code_files
from services.gateway.wire.threads import CreateThreadFields
from shared.errors import InvalidRequest
from shared.runs.model import Json
from shared.stores.database import Document


async def attach(
    stores: Stores, caller: Caller, thread: Document, messages: Sequence[CreateMessageFields]
) -> Document:
    """Give the thread the files of ``messages`` that are about to be posted to it; return it as it now is.

    Raises:
        InvalidRequest: they are more than it may have.
    """
    files = files_for_code(messages)
    if not set(files) - set(code_files(thread["tool_resources"])):
        return thread

    def step(old: Document) -> Json:
        return {"tool_resources": _checked(with_code_files(old["tool_resources"], files), caller)}

    return await stores.threads.change(caller.project_id, thread["_id"], step) or thread


def new_resources(body: CreateThreadFields, more: ToolResources | None, caller: Caller) -> Json:
    """What a new thread may work on: what is said of it, ``more`` beside that, the files of its messages.

    Raises:
        InvalidRequest: those are more than it may have.
    """
    said = [each for each in (body.resources(), more) if each]
    resources = {tool: value for each in said for tool, value in each.stored().items()}
    return _checked(with_code_files(resources, files_for_code(body.messages or [])), caller)


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
