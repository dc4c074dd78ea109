"""Threads: requests of both versions, and the object."""

from collections.abc import Sequence

from pydantic import Field, field_validator

from services.gateway.wire.fields import Metadata, MetadataV1, RequestBody, refusal
from services.gateway.wire.messages import CreateMessage, CreateMessageFields, CreateMessageV1
from services.gateway.wire.resources import NewToolResources, ToolResources
from shared.runs.model import Json

MOST_MESSAGES_V1 = 32
TOO_MANY = (  # word for word the original's, which here alone let its framework speak
    "1 validation error for Request\nbody -> messages\n  ensure this value has at most "
    f"{MOST_MESSAGES_V1} items (type=value_error.list.max_items; limit_value={MOST_MESSAGES_V1})"
)


class CreateThreadFields(RequestBody):
    messages: Sequence[CreateMessageFields] | None = None
    metadata: Metadata | None = None

    def resources(self) -> ToolResources | None:
        return None


class CreateThreadV1(CreateThreadFields):
    messages: list[CreateMessageV1] | None = Field(None, json_schema_extra={"maxItems": MOST_MESSAGES_V1})
    metadata: MetadataV1 | None = None

    @field_validator("messages")
    @classmethod
    def _not_too_many(cls, messages: list[CreateMessageV1] | None) -> list[CreateMessageV1] | None:
        if messages is not None and len(messages) > MOST_MESSAGES_V1:
            raise refusal(TOO_MANY)
        return messages


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
