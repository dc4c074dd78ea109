"""Messages: requests of both versions, and the stored form of what a client posts."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag

from services.gateway.wire.fields import LONGEST_TEXT, Metadata, MetadataV1, RequestBody, Text, refusal
from services.gateway.wire.files import IMAGE_ENDINGS
from shared.runs.model import Json

CODE_INTERPRETER, FILE_SEARCH = "code_interpreter", "file_search"
Detail: TypeAlias = Literal["auto", "low", "high"]
WholeText: TypeAlias = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


def text_part(text: str) -> Json:
    return {"type": "text", "text": {"value": text, "annotations": []}}


class CreateMessageFields(RequestBody):
    role: Literal["user", "assistant"]
    metadata: Metadata | None = None

    def parts(self) -> list[Json]:
        """The content as the v2 API shows it."""
        raise NotImplementedError

    def stored_attachments(self) -> list[Json]:
        """The files that come with it, as the v2 API shows them."""
        raise NotImplementedError

    def image_ids(self) -> list[str]:
        """The files that are part of the content."""
        return []

    def file_ids_named(self) -> list[str]:
        return [each["file_id"] for each in self.stored_attachments()] + self.image_ids()


class CreateMessageV1(CreateMessageFields):
    content: WholeText
    file_ids: list[str] | None = Field(None, max_length=10)
    metadata: MetadataV1 | None = None

    def parts(self) -> list[Json]:
        return [text_part(self.content)]

    def stored_attachments(self) -> list[Json]:
        """In v1 a file is for every tool."""
        tools = [{"type": tool} for tool in (CODE_INTERPRETER, FILE_SEARCH)]
        return [{"file_id": file_id, "tools": tools} for file_id in dict.fromkeys(self.file_ids or ())]


class TextPart(RequestBody):
    type: Literal["text"]
    text: Text

    def stored(self) -> Json:
        return text_part(self.text)


def _image_address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        message = "Invalid '{path}'. Expected a valid URL, but got a value with an invalid format."
        raise refusal(message, code="invalid_value")
    if not parts.path.lower().endswith(IMAGE_ENDINGS):
        raise refusal("Invalid '{path}'. Expected url to end in a supported format", code="invalid_value")
    return url


class ImageUrl(RequestBody):
    url: Annotated[str, AfterValidator(_image_address)]
    detail: Detail | None = None


class ImageUrlPart(RequestBody):
    type: Literal["image_url"]
    image_url: ImageUrl

    def stored(self) -> Json:
        image = {"url": self.image_url.url, "detail": self.image_url.detail or "auto"}
        return {"type": self.type, "image_url": image}


class ImageFile(RequestBody):
    file_id: str
    detail: Detail | None = None


class ImageFilePart(RequestBody):
    type: Literal["image_file"]
    image_file: ImageFile

    def stored(self) -> Json:
        image = {"file_id": self.image_file.file_id, "detail": self.image_file.detail or "auto"}
        return {"type": self.type, "image_file": image}


Part: TypeAlias = Annotated[TextPart | ImageUrlPart | ImageFilePart, Field(discriminator="type")]


def _kind(value: Any) -> str:
    return "|parts" if isinstance(value, list) else "|text"


Content: TypeAlias = Annotated[
    Annotated[WholeText, Tag("|text")] | Annotated[list[Part], Field(min_length=1), Tag("|parts")],
    Discriminator(_kind),
]


class AttachmentTool(RequestBody):
    type: Literal["code_interpreter", "file_search"]


class Attachment(RequestBody):
    file_id: str
    tools: list[AttachmentTool] | None = None


class CreateMessage(CreateMessageFields):
    content: Content
    attachments: list[Attachment] | None = None

    def parts(self) -> list[Json]:
        if isinstance(self.content, str):
            return [text_part(self.content)]
        return [part.stored() for part in self.content]

    def stored_attachments(self) -> list[Json]:
        return [
            {"file_id": each.file_id, "tools": [{"type": tool.type} for tool in each.tools or ()]}
            for each in self.attachments or ()
        ]

    def image_ids(self) -> list[str]:
        parts = [] if isinstance(self.content, str) else self.content
        return [part.image_file.file_id for part in parts if isinstance(part, ImageFilePart)]


class ModifyMessageV1(RequestBody):
    metadata: MetadataV1 | None = None


class ModifyMessage(RequestBody):
    metadata: Metadata | None = None


def new_message(body: CreateMessageFields, message_id: str, thread_id: str, now: int) -> Json:
    """The v2 object of a message that a client posts; it is complete at once."""
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": now,
        "assistant_id": None,
        "thread_id": thread_id,
        "run_id": None,
        "status": "completed",
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": now,
        "role": body.role,
        "content": body.parts(),
        "attachments": body.stored_attachments(),
        "metadata": body.metadata or {},
    }


def files_in(messages: Sequence[CreateMessageFields]) -> list[str]:
    return [file_id for message in messages for file_id in message.file_ids_named()]


def files_for_code(messages: Sequence[CreateMessageFields]) -> list[str]:
    """The files that come with ``messages`` for the code interpreter, each once."""
    return _files_for(CODE_INTERPRETER, messages)


def files_for_search(messages: Sequence[CreateMessageFields]) -> list[str]:
    """The files that come with ``messages`` for file search, each once."""
    return _files_for(FILE_SEARCH, messages)


def _files_for(tool: str, messages: Sequence[CreateMessageFields]) -> list[str]:
    attached = (each for message in messages for each in message.stored_attachments())
    usable = (each["file_id"] for each in attached if {"type": tool} in each["tools"])
    return list(dict.fromkeys(usable))


def message_files(stored: Json) -> list[Json]:
    """The v1 objects of what came with a stored message."""
    return [
        {
            "id": file_id,
            "object": "thread.message.file",
            "created_at": stored["created_at"],
            "message_id": stored["_id"],
        }
        for file_id in dict.fromkeys(each["file_id"] for each in stored["attachments"])
    ]
