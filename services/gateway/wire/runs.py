"""Runs: requests of both versions, and the settings that a run copies when it is made."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from services.gateway.wire.assistants import resources_view
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
from services.gateway.wire.messages import CreateMessage, CreateMessageFields, CreateMessageV1
from services.gateway.wire.resources import ToolResources, joined, searched
from services.gateway.wire.threads import CreateThread, CreateThreadFields, CreateThreadV1
from services.gateway.wire.tools import Tool, ToolChoiceV1, ToolChoiceV2, ToolV1, ToolV2, stored_choice
from shared.runs.model import Json, Settings

MOST_TOOLS = 20


class TruncationStrategy(RequestBody):
    type: Literal["auto", "last_messages"]
    last_messages: int | None = Field(None, ge=1)


class RunFields(RequestBody):
    waits_for_all: ClassVar[bool] = False  # while files of vector stores are taken in; else for the thread's

    assistant_id: str
    model: str | None = Field(None, min_length=1)
    instructions: Text | None = None
    tools: Sequence[Tool] | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: Any = None
    response_format: ResponseFormat | None = None

    def settings(self, assistant: Json, thread_resources: Json | None = None) -> Settings:
        """What the run copies: the assistant's, unless the request says otherwise; the files of both."""
        copied = {name: assistant[name] for name in ("model", "instructions", "temperature", "top_p")}
        copied |= {name: assistant[name] for name in ("tools", "response_format", "reasoning_effort")}
        given = {name: value for name, value in self.given().items() if name in Settings.model_fields}
        if self.tools is not None:
            given["tools"] = [tool.stored() for tool in self.tools]
        if self.response_format is not None:
            given["response_format"] = stored_format(self.response_format)
        if self.tool_choice is not None:
            given["tool_choice"] = stored_choice(self.tool_choice)
        if self.truncation_strategy is not None:
            given["truncation_strategy"] = self.truncation_strategy.model_dump()
        resources = resources_view({**assistant, **given, "tool_resources": assistant["tool_resources"]})
        of_thread = thread_resources or {}
        resources = joined(resources, of_thread)
        awaited = searched(resources if self.waits_for_all else of_thread)
        given |= {"tool_resources": resources, "awaited_stores": awaited}
        given["file_ids"] = [file["id"] for file in assistant.get("files", ())]
        return Settings.model_validate(copied | given)


class RunFieldsV1(RunFields):
    waits_for_all = True  # its clients cannot see how far their files are

    tools: list[ToolV1] | None = Field(None, max_length=MOST_TOOLS)
    metadata: MetadataV1 | None = None
    tool_choice: ToolChoiceV1 | None = None


class RunFieldsV2(RunFields):
    tools: list[ToolV2] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: ToolChoiceV2 | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: ReasoningEffort | None = None


class CreateRunV1(RunFieldsV1):
    additional_instructions: Text | None = None
    additional_messages: list[CreateMessageV1] | None = None

    def messages(self) -> Sequence[CreateMessageFields]:
        return self.additional_messages or []


class CreateRun(RunFieldsV2):
    additional_instructions: Text | None = None
    additional_messages: list[CreateMessage] | None = None

    def messages(self) -> Sequence[CreateMessageFields]:
        return self.additional_messages or []


class CreateThreadAndRunV1(RunFieldsV1):
    thread: CreateThreadV1 | None = None

    def new_thread(self) -> CreateThreadFields:
        return self.thread or CreateThreadV1()

    def resources(self) -> ToolResources | None:
        return None


class CreateThreadAndRun(RunFieldsV2):
    thread: CreateThread | None = None
    tool_resources: ToolResources | None = None  # for this run, put on the new thread

    def new_thread(self) -> CreateThreadFields:
        return self.thread or CreateThread()

    def resources(self) -> ToolResources | None:
        return self.tool_resources


class ModifyRunV1(RequestBody):
    metadata: MetadataV1 | None = None


class ModifyRun(RequestBody):
    metadata: Metadata | None = None


class ToolOutput(RequestBody):
    tool_call_id: str
    output: str | None = None


class SubmitToolOutputs(RequestBody):
    tool_outputs: list[ToolOutput]
    stream: bool | None = None


def joined_instructions(settings: Settings, additional: str | None) -> Settings:
    if not additional:
        return settings
    parts = [part for part in (settings.instructions, additional) if part]
    return settings.evolve(instructions=" ".join(parts))
