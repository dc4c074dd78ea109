"""Threads: requests of both versions, and the object."""

from collections.abc import Sequence

from pydantic import Field

from services.gateway.wire.fields import Metadata, MetadataV1, RequestBody
from services.gateway.wire.messages import CreateMessage, CreateMessageFields, CreateMessageV1
from services.gateway.wire.resources import NewToolResources, ToolResources
from shared.runs.model import Json

MOST_MESSAGES_V1 = 32


class CreateThreadFields(RequestBody):
    messages: Sequence[CreateMessageFields] | None = None
    metadata: Metadata | None = None

    def resources(self) -> ToolResources | None:
        return None


class CreateThreadV1(CreateThreadFields):
    messages: list[CreateMessageV1] | None = Field(None, max_length=MOST_MESSAGES_V1)
    metadata: MetadataV1 | None = None


class CreateThread(CreateThreadFields):
    messages: list[CreateMessage] | None = None
    tool_resources: NewToolResources | None = None

    def resources(self) -> ToolResources | None:
        return self.tool_resources


class ModifyThreadFields(RequestBody):
    metadata: Metadata | None = None

    def resources(self) -> ToolResources | None:
        return None


class ModifyThreadV1(ModifyThreadFields):
    metadata: MetadataV1 | None = None


class ModifyThread(ModifyThreadFields):
    tool_resources: ToolResources | None = None

    def resources(self) -> ToolResources | None:
        return self.tool_resources


def thread_view(stored: Json) -> Json:
    """The v2 object of a stored thread."""
    return {
        "id": stored["_id"],
        "object": "thread",
        "created_at": stored["created_at"],
        "metadata": stored["metadata"],
        "tool_resources": stored["tool_resources"],
    }
