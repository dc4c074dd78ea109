"""Files on their way into a sandbox, and what a call has made on its way out.

Nothing here fails a call: what could not be moved is said to the model.
"""

import hashlib
import logging
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from services.tool_code.sandbox.errors import FileRefused, SessionClosed
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.session import Session
from services.tool_code.sessions import Held
from shared import clock
from shared.errors import ServiceError
from shared.events import CodeRequested
from shared.failpoints import failpoint
from shared.files.for_code import FOLDER, LARGEST_BYTES, CodeFile, code_files
from shared.files.library import Library
from shared.files.storage import BytesMissing
from shared.ids import derived_file_id
from shared.stores.database import Document, PyMongoError

log = logging.getLogger(__name__)

OUTPUT = "assistants_output"
MOST_FILES = 20  # kept of one call
MOST_PICTURES = 16  # shown of one call
MOST_BYTES = 64 << 20  # of those together
MOST_KNOWN = 50  # paths that a thread's messages can link to
TROUBLE = (PyMongoError, ServiceError, BytesMissing)
LONGEST_PATH = 255
PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"


class Kept(NamedTuple):
    """After a call: what the thread's code has written so far; which pictures the call has saved, as ids of
    files, in their order; and what the model has to know of the rest."""

    files: list[dict[str, Any]]
    pictures: list[str]
    notes: list[str]


class Files:
    """``room_bytes`` is how much of a sandbox's disk the user's files may take."""

    def __init__(self, library: Library, room_bytes: int) -> None:
        self._library = library
        self._room_bytes = room_bytes

    async def bring(self, session: Session, held: Held, request: CodeRequested) -> list[str]:
        """Put the files of the request into the sandbox that it does not have yet; return what went wrong.

        Raises:
            SessionClosed: the sandbox is gone.
        """
        if not request.files:
            return []
        try:
            found = await self._library.store.get_many(request.project_id, request.files, clock.now())
        except PyMongoError as error:
            log.error("could not look for files", exc_info=error)
            return ["The uploaded files could not be read."]
        notes = []
        for file in code_files(request.files, found):
            paths = [path for path in (file.name, file.id) if held.brought.get(path) != file.id]
            if paths and (note := await self._put(session, held, file, found[file.id], paths)):
                notes.append(note)
            held.brought |= dict.fromkeys(paths, file.id)  # refused ones too: they are told of once
        return notes

    async def restore(self, session: Session, held: Held, project_id: str) -> list[str]:
        """Put back what the code of an earlier sandbox made; return the paths that are there again.

        After ``bring``: the code's version of an uploaded file stands, unless another was uploaded since.

        Raises:
            SessionClosed: the sandbox is gone.
        """
        if not held.lost:
            return []
        restored = []
        try:
            ids = {lost.file_id for lost in held.lost.values()}
            found = await self._library.store.get_many(project_id, ids, clock.now())
            for path, (file_id, over) in list(held.lost.items()):
                newer = held.brought.get(path) not in (None, over)
                if not newer and file_id in found and await self._back(session, path, found[file_id]):
                    held.made[path] = file_id
                    restored.append(path)
                del held.lost[path]
        except TROUBLE as error:  # the rest is tried again with the next call
            log.error("could not restore files", exc_info=error)
        return restored

    async def _back(self, session: Session, path: str, stored: Document) -> bool:
        try:
            await session.put(path, await self._library.content(stored))
        except (FileRefused, BytesMissing) as error:
            log.warning("a file was not restored", extra={"reason": str(error)})
            return False
        return True

    async def _put(
        self, session: Session, held: Held, file: CodeFile, stored: Document, paths: list[str]
    ) -> str | None:
        named = f"The file {file.name} ({file.id})"
        if file.too_large:
            return f"{named} is not there: it is larger than {LARGEST_BYTES >> 20} MiB."
        try:
            content = await self._library.content(stored)
            for path in paths:
                if held.brought_bytes + len(content) > self._room_bytes:
                    return f"{named} is not at {FOLDER}/{path}: there is no more room for files."
                await session.put(path, content)
                held.brought_bytes += len(content)
        except FileRefused as error:
            return f"{named} could not be written to {FOLDER}: {error}"
        except TROUBLE as error:
            log.error("could not read a file", exc_info=error, extra={"file_id": file.id})
            return f"{named} could not be read."
        return None

    async def keep_images(self, request: CodeRequested, execution: Execution) -> list[str]:
        """Store what was drawn; return the ids of the files."""
        kept = []
        for number, image in enumerate(execution.images, 1):
            name = f"image-{number}.{'png' if image.startswith(PNG) else 'jpg'}"
            if file_id := await self._keep(request, f"image {number}", name, image):
                kept.append(file_id)
        return kept

    async def keep_files(
        self, session: Session, held: Held, request: CodeRequested, execution: Execution
    ) -> Kept:
        """Store what the call wrote, the newest first."""
        for path in execution.gone:
            held.brought.pop(path, None)
            held.made.pop(path, None)
        written = [path for path in execution.files if _worth_keeping(path)]
        for path in written:
            held.made.pop(path, None)
        left, made, pictures, refused = MOST_BYTES, dict[str, str](), list[str](), list[str]()
        for path in written[:MOST_FILES]:
            try:
                content = await session.get(path)
            except FileRefused as error:
                log.info("a file of a call was not kept", extra={"reason": str(error)})
                refused.append(f"[{path} cannot be downloaded: {error}.]")
                continue
            except SessionClosed:
                break
            left -= len(content)
            if left < 0:
                break
            if file_id := await self._keep(request, f"file {path}", PurePosixPath(path).name, content):
                made[path] = file_id
                if content.startswith((PNG, JPEG)):
                    pictures.append(file_id)
        held.made = dict(list((held.made | dict(reversed(made.items()))).items())[-MOST_KNOWN:])
        files = [{"path": path, "file_id": file_id} for path, file_id in held.made.items()]
        if len(made) + len(refused) < len(written):
            refused.append(
                f"[Of the files written, only the {len(made)} newest can be downloaded: "
                f"{MOST_FILES} of a call, {MOST_BYTES >> 20} MiB. Pack many into one.]"
            )
        return Kept(files, pictures[MOST_PICTURES - 1 :: -1], refused)

    async def _keep(self, request: CodeRequested, what: str, name: str, content: bytes) -> str | None:
        """The id follows from the call and the content: a repeat finds the file."""
        file_id = derived_file_id(request.call_id, what, hashlib.sha256(content).hexdigest())
        try:
            await self._library.keep(file_id, request.project_id, content, purpose=OUTPUT, filename=name)
            failpoint("tool_code.file_kept")
        except TROUBLE as error:
            log.error("could not keep a file of a call", exc_info=error)
            return None
        return file_id


def _worth_keeping(path: str) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.split("/"))
    return not hidden and len(path) <= LONGEST_PATH
