"""Files: what an upload may say, and the object."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from services.gateway.version import Version
from services.gateway.wire.fields import RequestBody
from shared.errors import InvalidRequest
from shared.runs.model import Json
from shared.stores.database import Document

PURPOSES = {
    Version.V1: ("fine-tune", "assistants"),
    Version.V2: ("fine-tune", "assistants", "batch", "user_data", "vision", "evals"),
}
INPUT = ("assistants", "user_data")  # what clients put in and, by default, do not get out again
SHORTEST_S, LONGEST_S = 3600, 2_592_000
IMAGE_PURPOSES = ("vision", "assistants", "assistants_output")
DOCUMENTS = frozenset(("doc", "docx", "html", "json", "md", "pdf", "pptx", "tex", "txt"))
SOURCES = frozenset(("c", "cpp", "cs", "css", "go", "java", "js", "php", "py", "rb", "sh", "ts"))
SEARCHABLE = DOCUMENTS | SOURCES  # endings of names
IMAGE_ENDINGS = (".jpeg", ".jpg", ".png", ".gif", ".webp")


class FileError(InvalidRequest):
    """An error that says its message twice, as those of files do."""

    has_detail = True


class ExpiresAfter(RequestBody):
    anchor: Literal["created_at"]
    seconds: int = Field(strict=False, ge=SHORTEST_S, le=LONGEST_S)  # a form has only text


class UploadV1(RequestBody):
    """The fields beside ``file``."""

    purpose: str

    def expires_after_s(self) -> int | None:
        return None


class Upload(UploadV1):
    expires_after: ExpiresAfter | None = None

    def expires_after_s(self) -> int | None:
        return self.expires_after.seconds if self.expires_after else None


def check_purpose(purpose: str, version: Version) -> None:
    if purpose not in PURPOSES[version]:
        known = ", ".join(f"'{each}'" for each in PURPOSES[version])
        raise FileError(f"'{purpose}' is not one of [{known}] - 'purpose'", param="purpose")


def check_image(file: Document) -> None:
    """Only images can be part of a message's content.

    Raises:
        InvalidRequest: ``file`` is not for that, or none by its name.
    """
    dot, ending = file["filename"].rpartition(".")[1:]
    if (dot + ending).lower() not in IMAGE_ENDINGS:
        raise InvalidRequest(
            "Invalid message content: Expected file type to be a supported format: "
            f"{', '.join(IMAGE_ENDINGS)} but got {dot + ending if dot else 'none'}."
        )
    if file["purpose"] not in IMAGE_PURPOSES:
        raise InvalidRequest(
            f"Invalid message content: Expected file purpose to be 'vision' but got '{file['purpose']}'."
        )


def ending_of(file: Document) -> str:
    """The ending of its name in small letters, without its dot; empty if it has none."""
    _, dot, ending = file["filename"].rpartition(".")
    return ending.lower() if dot else ""


def is_searchable(file: Document) -> bool:
    return ending_of(file) in SEARCHABLE


def check_searchable(files: Iterable[Document]) -> None:
    """
    Raises:
        InvalidRequest: one is of a kind that file search does not read.
    """
    others = sorted({ending_of(file) for file in files if not is_searchable(file)})
    if others:
        endings = ", ".join(f".{ending}" if ending else "none" for ending in others)
        raise InvalidRequest(
            f"Files with extensions [{endings}] are not supported for retrieval. "
            "See https://platform.openai.com/docs/assistants/tools/file-search/supported-files",
            param="file_ids",
            code="unsupported_file",
        )


def file_view(stored: Document, version: Version) -> Json:
    view = {
        "object": "file",
        "id": stored["_id"],
        "purpose": stored["purpose"],
        "filename": stored["filename"],
        "bytes": stored["bytes"],
        "created_at": stored["created_at"],
        "expires_at": stored["expires_at"],
        "status": "processed",
        "status_details": None,
    }
    if version is Version.V1:
        del view["expires_at"]
    return view
