"""A user's image files, as the model can see them: in the request itself."""

import asyncio
import base64
import logging
from collections.abc import Sequence

from shared import clock
from shared.errors import ServiceError
from shared.files.library import Library
from shared.files.storage import BytesMissing
from shared.runs.model import Json, Run
from shared.stores.database import Document, PyMongoError

log = logging.getLogger(__name__)

LARGEST_BYTES = 20 << 20
MOST_BYTES = 50 << 20  # of one prompt; the newest images come first
TROUBLE = (PyMongoError, ServiceError, BytesMissing)
KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


class Pictures:
    def __init__(self, library: Library) -> None:
        self._library = library

    async def put_into(self, run: Run, thread: Sequence[Document]) -> list[Document]:
        """Return ``thread`` with each image file of a user replaced: by its bytes, or by a note.

        Raises:
            PyMongoError: the store does not answer.
        """
        ids = [part["image_file"]["file_id"] for message in thread for part in _image_files(message)]
        if not ids:
            return list(thread)
        found = await self._library.store.get_many(run.project_id, ids, clock.now())
        left, seen = MOST_BYTES, list[Document]()
        for message in reversed(thread):
            files = _image_files(message)
            shown: dict[str, Json] = {}
            for file_id in {part["image_file"]["file_id"]: part for part in files}:
                shown[file_id], taken = await self._shown(file_id, found.get(file_id), left)
                left -= taken
            seen.append(_replaced(message, shown) if shown else message)
        return seen[::-1]

    async def _shown(self, file_id: str, file: Document | None, left: int) -> tuple[Json, int]:
        """The part that the model gets, and the bytes that it takes."""
        if file is None:
            return _note(file_id, "it was deleted"), 0
        if file["bytes"] > LARGEST_BYTES:
            return _note(file_id, f"it is larger than {LARGEST_BYTES >> 20} MiB"), 0
        if file["bytes"] > left:
            return _note(file_id, "newer images take all the room"), 0
        try:
            content = await self._library.content(file)
        except TROUBLE as error:
            log.error("could not read an image", exc_info=error, extra={"file_id": file_id})
            return _note(file_id, "it could not be read"), 0
        if (kind := _kind(content)) is None:
            return _note(file_id, "it is no image"), 0
        encoded = await asyncio.to_thread(base64.b64encode, content)
        return {"url": f"data:image/{kind};base64,{encoded.decode()}"}, len(content)


def _image_files(message: Document) -> list[Json]:
    if message["role"] != "user":
        return []
    return [part for part in message["content"] if part["type"] == "image_file"]


def _replaced(message: Document, shown: dict[str, Json]) -> Document:
    return {**message, "content": [_part(part, shown) for part in message["content"]]}


def _part(part: Json, shown: dict[str, Json]) -> Json:
    if part["type"] != "image_file":
        return part
    image = shown[part["image_file"]["file_id"]]
    if "url" not in image:
        return image
    detail = part["image_file"].get("detail")
    return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}


def _note(file_id: str, why: str) -> Json:
    value = f"[The image {file_id} cannot be shown: {why}.]"
    return {"type": "text", "text": {"value": value, "annotations": []}}


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in KINDS.items() if content.startswith(magic)), None)
