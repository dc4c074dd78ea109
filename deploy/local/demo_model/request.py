"""The request body: what of it the demo model reads, and what it refuses."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

Schema = dict[str, JsonValue]
"""A JSON schema, as a tool's ``parameters`` hold it."""


class BadRequest(Exception):
    """The body cannot be served; answered with 400 in the API's own error shape."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class _Body(BaseModel):
    # Fields that are not read here (temperature, seed, metadata, ...) are accepted and ignored.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Part(_Body):
    type: str
    text: str | None = None


class CalledFunction(_Body):
    name: str
    arguments: str


class MadeCall(_Body):
    """A tool call in an assistant message of the history."""

    id: str
    function: CalledFunction


class Message(_Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text is not None)


class Function(_Body):
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: Schema | None = None


class Tool(_Body):
    type: Literal["function"]
    function: Function


class NamedFunction(_Body):
    name: str


class NamedChoice(_Body):
    type: Literal["function"]
    function: NamedFunction


class StreamOptions(_Body):
    include_usage: bool = False


class JsonSchema(_Body):
    json_schema: Schema | None = Field(None, alias="schema")


class ResponseFormat(_Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(_Body):
    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: Literal[1] | None = None
    response_format: ResponseFormat | None = None

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a body.

        Raises:
            BadRequest: it is not JSON, a field has the wrong form, or a tool message
                and the calls before it do not belong together.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            # Names of union members are part of the location; clients know only the fields.
            path = [str(part) for part in first["loc"] if isinstance(part, int) or part in _FIELDS]
            param = ".".join(path) or None
            reason = first["msg"].removeprefix("Value error, ")
            message = f"Invalid value for '{param}': {reason}" if param else reason
            raise BadRequest(message, param) from error

    @model_validator(mode="after")
    def _each_call_is_answered_once(self) -> Self:
        open_calls: set[str] = set()
        for message in self.messages:
            if message.role == "tool":
                if message.tool_call_id not in open_calls:
                    raise ValueError("a message with role 'tool' must answer a preceding tool call")
                open_calls.discard(message.tool_call_id)
                continue
            if open_calls:
                break
            open_calls = {call.id for call in message.tool_calls or ()}
        if open_calls:
            raise ValueError(f"tool calls without an answering message: {', '.join(sorted(open_calls))}")
        return self

    @model_validator(mode="after")
    def _named_function_is_offered(self) -> Self:
        if isinstance(self.tool_choice, NamedChoice):
            name = self.tool_choice.function.name
            if all(function.name != name for function in self.functions):
                raise ValueError(f"tool_choice names '{name}', which is not among the tools")
        elif self.tool_choice == "required" and not self.functions:
            raise ValueError("tool_choice is 'required', but no tools are given")
        return self

    @property
    def functions(self) -> list[Function]:
        return [tool.function for tool in self.tools or ()]

    @property
    def question(self) -> str:
        """Text of the last user message, or nothing."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def instructions(self) -> str:
        return "\n".join(m.text for m in self.messages if m.role in ("system", "developer"))

    @property
    def most_words(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def answered_calls(self) -> Iterator[tuple[CalledFunction, str]]:
        """Each call made since the question, with its output."""
        since = max((i for i, m in enumerate(self.messages) if m.role == "user"), default=-1) + 1
        outputs = {m.tool_call_id: m.text for m in self.messages[since:] if m.role == "tool"}
        for message in self.messages[since:]:
            for call in message.tool_calls or ():
                yield call.function, outputs[call.id]


def _field_names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


_MODELS: tuple[type[BaseModel], ...] = (
    ChatRequest,
    Message,
    Part,
    MadeCall,
    CalledFunction,
    Tool,
    Function,
    NamedChoice,
    StreamOptions,
    ResponseFormat,
    JsonSchema,
)
_FIELDS: frozenset[Any] = frozenset(name for model in _MODELS for name in _field_names(model))
