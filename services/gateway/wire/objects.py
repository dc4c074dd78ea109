"""The answers in their v2 form, for the OpenAPI document and for the tests that hold them.

Nothing is validated against these at run time. With ``OpenAI-Beta: assistants=v1`` an answer
has its v1 form: ``file_ids`` in place of ``tool_resources`` and ``attachments``, the tool
``retrieval`` in place of ``file_search``.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from shared.runs.model import ErrorCode, Status, StepStatus

T = TypeVar("T")


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListAnswer(Answer, Generic[T]):
    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


class AssistantDeleted(Answer):
    id: str
    object: Literal["assistant.deleted"]
    deleted: Literal[True]


class ThreadDeleted(Answer):
    id: str
    object: Literal["thread.deleted"]
    deleted: Literal[True]


class MessageDeleted(Answer):
    id: str
    object: Literal["thread.message.deleted"]
    deleted: Literal[True]


class FileObject(Answer):
    object: Literal["file"]
    id: str
    purpose: str
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None


class FileDeleted(Answer):
    object: Literal["file"]
    deleted: Literal[True]
    id: str


class ModelObject(Answer):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Answer):
    object: Literal["list"]
    data: list[ModelObject]


class ModelDeleted(Answer):
    id: str
    object: Literal["model"]
    deleted: Literal[True]


class AssistantFileObject(Answer):
    id: str
    object: Literal["assistant.file"]
    created_at: int
    assistant_id: str


class AssistantFileDeleted(Answer):
    id: str
    object: Literal["assistant.file.deleted"]
    deleted: Literal[True]


class MessageFileObject(Answer):
    id: str
    object: Literal["thread.message.file"]
    created_at: int
    message_id: str


class AssistantObject(Answer):
    id: str
    object: Literal["assistant"]
    created_at: int
    name: str | None
    description: str | None
    model: str
    instructions: str | None
    tools: list[dict[str, Any]]
    top_p: float | None
    temperature: float | None
    reasoning_effort: str | None
    tool_resources: dict[str, Any]
    metadata: dict[str, str]
    response_format: Literal["auto", "none"] | dict[str, Any]


class ThreadObject(Answer):
    id: str
    object: Literal["thread"]
    created_at: int
    metadata: dict[str, str]
    tool_resources: dict[str, Any]


class MessageIncompleteDetails(Answer):
    reason: Literal["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]


class MessageObject(Answer):
    id: str
    object: Literal["thread.message"]
    created_at: int
    assistant_id: str | None
    thread_id: str
    run_id: str | None
    status: Literal["in_progress", "incomplete", "completed"]
    incomplete_details: MessageIncompleteDetails | None
    incomplete_at: int | None
    completed_at: int | None
    role: Literal["user", "assistant"]
    content: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    metadata: dict[str, str]


class UsageObject(Answer):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_token_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class LastErrorObject(Answer):
    code: ErrorCode
    message: str


class RunIncompleteDetails(Answer):
    reason: str


class TruncationObject(Answer):
    type: Literal["auto", "last_messages"]
    last_messages: int | None


class RunObject(Answer):
    id: str
    object: Literal["thread.run"]
    created_at: int
    assistant_id: str
    thread_id: str
    status: Status
    started_at: int | None
    expires_at: int | None
    cancelled_at: int | None
    failed_at: int | None
    completed_at: int | None
    required_action: dict[str, Any] | None
    last_error: LastErrorObject | None
    model: str
    instructions: str | None
    tools: list[dict[str, Any]]
    tool_resources: dict[str, Any]
    metadata: dict[str, str]
    temperature: float | None
    top_p: float | None
    reasoning_effort: str | None
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    truncation_strategy: TruncationObject
    incomplete_details: RunIncompleteDetails | None
    usage: UsageObject | None
    response_format: Literal["auto", "none"] | dict[str, Any]
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any]
    parallel_tool_calls: bool


class RunStepObject(Answer):
    id: str
    object: Literal["thread.run.step"]
    created_at: int
    run_id: str
    assistant_id: str
    thread_id: str
    type: Literal["message_creation", "tool_calls"]
    status: StepStatus
    cancelled_at: int | None
    completed_at: int | None
    expires_at: int | None
    expired_at: int | None
    failed_at: int | None
    last_error: LastErrorObject | None
    step_details: dict[str, Any]
    metadata: dict[str, str]
    usage: UsageObject | None


class ErrorFields(Answer):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Answer):
    error: ErrorFields
