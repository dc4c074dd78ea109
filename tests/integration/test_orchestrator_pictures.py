"""Images in a user's message, from the file storage into the model's request."""

import base64
from typing import Any

import pytest

from services.run_orchestrator import pictures
from services.run_orchestrator.pictures import Pictures
from services.run_orchestrator.prompt import build_prompt, words_of
from shared.files.gridfs import GridFSStorage
from shared.files.library import Library
from shared.ids import new_file_id
from shared.runs.model import Json
from shared.stores.database import Database, Document
from shared.stores.files import FileStore
from tests.unit.run_samples import LLM

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@pytest.fixture
def library(db: Database) -> Library:
    return Library(FileStore(db), GridFSStorage(db))


async def upload(library: Library, content: bytes = PNG) -> str:
    file_id = new_file_id()
    await library.keep(file_id, LLM.project_id, content, purpose="vision", filename="a.png")
    return file_id


def image(file_id: str, **more: Any) -> Json:
    return {"type": "image_file", "image_file": {"file_id": file_id, **more}}


def said(*parts: Json, role: str = "user") -> Document:
    return {"role": role, "content": [{"type": "text", "text": {"value": "See", "annotations": []}}, *parts]}


async def sent(library: Library, *thread: Document) -> list[Any]:
    seen = await Pictures(library).put_into(LLM, thread)
    return [message["content"] for message in build_prompt(LLM, seen)["messages"]]


def url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PNG, "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF1234WEBPVP8 ", "webp")],
)
async def test_the_model_gets_the_bytes(library: Library, content: bytes, kind: str) -> None:
    file_id = await upload(library, content)
    (parts,) = await sent(library, said(image(file_id, detail="low")))
    shown = {"type": "image_url", "image_url": {"url": url(content, kind), "detail": "low"}}
    assert parts == [{"type": "text", "text": "See"}, shown]


async def test_what_cannot_be_shown_is_said(library: Library, db: Database) -> None:
    large, text, deleted = await upload(library), await upload(library, b"text"), "file-gone"
    lost = await upload(library)
    await db["files"].update_one({"_id": large}, {"$set": {"bytes": pictures.LARGEST_BYTES + 1}})
    await GridFSStorage(db).delete(lost)
    (told,) = await sent(library, said(*map(image, (large, text, deleted, lost))))
    assert told.splitlines() == [
        "See",
        f"[The image {large} cannot be shown: it is larger than 20 MiB.]",
        f"[The image {text} cannot be shown: it is no image.]",
        f"[The image {deleted} cannot be shown: it was deleted.]",
        f"[The image {lost} cannot be shown: it could not be read.]",
    ]


async def test_the_newest_images_come_first(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", len(PNG) + 1)
    file_id = await upload(library)
    older, newer = await sent(library, said(image(file_id)), said(image(file_id)))
    assert "newer images take all the room" in older
    assert newer[1]["image_url"]["url"] == url(PNG)


async def test_images_that_the_code_drew_are_not_sent_back(library: Library) -> None:
    file_id = await upload(library)
    assert await sent(library, said(image(file_id), role="assistant")) == ["See"]


async def test_bytes_of_images_are_no_words(library: Library) -> None:
    large = await upload(library, PNG * 1000)
    thread = await Pictures(library).put_into(LLM, [said(image(large))])
    assert len(words_of(build_prompt(LLM, thread))) < 200
