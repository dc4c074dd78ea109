"""Assistants: requests of both versions, their stored form, and the object."""

from collections.abc import Sequence

from pydantic import Field

from services.gateway.version import Version
from services.gateway.wire.fields import (
    Metadata,
    MetadataV1,
    ReasoningEffort,
    RequestBody,
    ResponseFormat,
    Temperature,
    Text,
    TopP,
    stored_format,
)
from services.gateway.wire.resources import MOST_FILES, NewToolResources, ToolResources
from services.gateway.wire.tools import Tool, ToolV1, ToolV2
from shared.runs.model import Json

MOST_TOOLS = 128
DEFAULTS: Json = {
    "name": None,
    "description": None,
    "instructions": None,
    "tools": [],
    "files": [],  # v1: {id, at}, in the order of their attachment
    "tool_resources": {},
    "metadata": {},
    "temperature": None,
    "top_p": None,
    "reasoning_effort": None,
    "response_format": "auto",
}


class AssistantFields(RequestBody):
    model: str | None = Field(None, min_length=1)
    name: str | None = Field(None, max_length=256)
    description: str | None = Field(None, max_length=512)
    instructions: Text | None = None
    tools: Sequence[Tool] | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None

    def changes(self) -> Json:
        """What the request sets, in the stored form. Null stands for the default."""
        changes: Json = {name: DEFAULTS[name] for name in self.model_fields_set & DEFAULTS.keys()}
        changes |= {
            name: value for name, value in self.given().items() if name in DEFAULTS or name == "model"
        }
        if self.tools is not None:
            changes["tools"] = [tool.stored() for tool in self.tools]
        if self.response_format is not None:
            changes["response_format"] = stored_format(self.response_format)
        if self.metadata is None:
            changes.pop("metadata", None)  # null changes nothing here
        return changes

    def file_ids_named(self) -> list[str] | None:
        """v1: the files of the assistant, all of them; None: as they are."""
        return None

    def resources(self) -> ToolResources | None:
        return None


class ModifyAssistantV1(AssistantFields):
    tools: list[ToolV1] | None = Field(None, max_length=MOST_TOOLS)
    file_ids: list[str] | None = Field(None, max_length=MOST_FILES)
    metadata: MetadataV1 | None = None

    def file_ids_named(self) -> list[str] | None:
        return self.file_ids or [] if "file_ids" in self.model_fields_set else None


class CreateAssistantV1(ModifyAssistantV1):
    model: str = Field(min_length=1)


class ModifyAssistant(AssistantFields):
    tools: list[ToolV2] | None = Field(None, max_length=MOST_TOOLS)
    tool_resources: ToolResources | None = None
    reasoning_effort: ReasoningEffort | None = None

    def changes(self) -> Json:
        changes = super().changes()
        if self.tool_resources is not None:
            changes["tool_resources"] = self.tool_resources.stored()
        return changes

    def resources(self) -> ToolResources | None:
        return self.tool_resources


class CreateAssistant(ModifyAssistant):
    model: str = Field(min_length=1)
    tool_resources: NewToolResources | None = None


class AttachFile(RequestBody):
    file_id: str


def assistant_file_view(stored: Json, file: Json) -> Json:
    """The v1 object of a ``file`` of a stored assistant."""
    return {
        "id": file["id"],
        "object": "assistant.file",
        "created_at": file["at"],
        "assistant_id": stored["_id"],
    }


def assistant_view(stored: Json, version: Version = Version.V2) -> Json:
    """The v2 object of a stored assistant; with its v1 files for a client that knows those."""
    v1 = {"file_ids": [file["id"] for file in stored.get("files", ())]} if version is Version.V1 else {}
    return v1 | {
        "id": stored["_id"],
        "object": "assistant",
        "created_at": stored["created_at"],
        "name": stored["name"],
        "description": stored["description"],
        "model": stored["model"],
        "instructions": stored["instructions"],
        "tools": stored["tools"],
        "top_p": 1.0 if stored["top_p"] is None else stored["top_p"],
        "temperature": 1.0 if stored["temperature"] is None else stored["temperature"],
        "reasoning_effort": stored["reasoning_effort"],
        "tool_resources": resources_view(stored),
        "metadata": stored["metadata"],
        "response_format": stored["response_format"],
    }


def resources_view(stored: Json) -> Json:
    """A code interpreter always shows its files, also when it has none."""
    shows_files = any(tool["type"] == "code_interpreter" for tool in stored["tools"])
    empty: Json = {"code_interpreter": {"file_ids": []}} if shows_files else {}
    return {**empty, **stored["tool_resources"]}
