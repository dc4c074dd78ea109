"""The files that a run may work on."""

from shared import clock
from shared.files.for_code import CodeFile, code_files
from shared.runs.model import Run
from shared.stores.files import FileStore

MOST_OF_EACH = 20  # the first ones are the assistant's, the last ones came with the newest messages


def code_file_ids(run: Run) -> tuple[str, ...]:
    """What the code interpreter may read; nothing for a run without one."""
    if not any(tool["type"] == "code_interpreter" for tool in run.settings.tools):
        return ()
    ids: list[str] = run.settings.tool_resources.get("code_interpreter", {}).get("file_ids") or []
    return tuple(ids[:MOST_OF_EACH] + ids[MOST_OF_EACH:][-MOST_OF_EACH:])


class RunFiles:
    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def for_code(self, run: Run) -> list[CodeFile]:
        """Those that are there, under the names that they have in the sandbox."""
        ids = code_file_ids(run)
        return code_files(ids, await self._store.get_many(run.project_id, ids, clock.now())) if ids else []
