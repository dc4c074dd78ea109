"""The files of an assistant as v1 knows them: one list for all tools, kept beside what v2 shows of it."""

from collections.abc import Sequence

from services.gateway.wire.messages import CODE_INTERPRETER
from services.gateway.wire.resources import MOST_FILES, code_files
from shared.errors import InvalidRequest
from shared.runs.model import Json


def with_file_ids(old: Json, changes: Json, file_ids: Sequence[str] | None, now: int) -> Json:
    """Return ``changes`` of the assistant ``old`` by v1, with what they mean for its files in both versions.

    ``file_ids`` are all that it shall have; None leaves them as they are. A file keeps the time
    of its attachment. With a code interpreter they are its files too; those that v2 gave it stay.
    """
    before: list[Json] = old.get("files", [])
    if file_ids is None and "tools" not in changes:
        return changes
    files = before
    if file_ids is not None:
        since = {file["id"]: file["at"] for file in before}
        files = [{"id": each, "at": since.get(each, now)} for each in dict.fromkeys(file_ids)]
        files.sort(key=lambda file: file["at"])
    after = old | changes
    known = {file["id"] for file in before}
    listed = [each for each in code_files(after["tool_resources"]) if each not in known]
    if any(tool["type"] == CODE_INTERPRETER for tool in after["tools"]):
        listed += [file["id"] for file in files if file["id"] not in listed]
    changes = {**changes, "files": files}
    if listed != code_files(after["tool_resources"]):
        changes["tool_resources"] = after["tool_resources"] | {CODE_INTERPRETER: {"file_ids": listed}}
    return changes


def attached(old: Json, file_id: str, now: int) -> Json:
    """What of the assistant ``old`` changes when the file is attached; nothing if it is already.

    Raises:
        InvalidRequest: it has as many as it may have.
    """
    ids = [file["id"] for file in old.get("files", [])]
    if file_id in ids:
        return {}
    if len(ids) >= MOST_FILES:
        raise InvalidRequest(
            f"Invalid 'file_ids': array too long. Expected an array with maximum length {MOST_FILES}, "
            f"but got an array with length {len(ids) + 1} instead.",
            param="file_ids",
            code="array_above_max_length",
        )
    return with_file_ids(old, {}, [*ids, file_id], now)


def detached(old: Json, file_id: str) -> Json:
    ids = [file["id"] for file in old.get("files", [])]
    return with_file_ids(old, {}, [each for each in ids if each != file_id], 0) if file_id in ids else {}
