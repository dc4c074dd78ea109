"""What is stored of a run: one document with its steps and its events."""

from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

Status: TypeAlias = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]
EndStatus: TypeAlias = Literal["cancelled", "failed", "completed", "incomplete", "expired"]
Phase: TypeAlias = Literal["runnable", "llm", "tools", "user", "ending", "done"]
StepStatus: TypeAlias = Literal["in_progress", "completed", "cancelled", "failed", "expired"]
ErrorCode: TypeAlias = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]

Json: TypeAlias = dict[str, Any]


class Frozen(BaseModel):
    """Readers ignore fields they do not know, so that two versions can share a store."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def evolve(self, **changes: object) -> Self:
        return self.model_copy(update=changes)


class Usage(Frozen):
    """Tokens, as the model's server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


class LastError(Frozen):
    code: ErrorCode
    message: str


class Ranking(Frozen):
    ranker: str = "default_2024_08_21"
    score_threshold: float = 0.0


class ToolCall(Frozen):
    """One call of one tool. ``output`` is None while it is awaited; the first answer stays."""

    id: str
    type: Literal["code_interpreter", "file_search", "function"]
    name: str  # the function's name; that of its type for a hosted tool
    input: str  # the code, the function's arguments as JSON text, or the queries as a JSON list
    output: str | None = None  # what the model is told
    outputs: tuple[Json, ...] = ()  # code interpreter: what the API shows, logs and images
    files: tuple[Json, ...] = ()  # code interpreter: what there is to link to, ``path`` and ``file_id``
    ranking: Ranking = Ranking()  # file search: how results are ranked
    place: int = 0  # file search: n of its markers 【n:m†file】, which no other call of the thread has
    results: tuple[Json, ...] = ()  # file search: ``file_id``, ``file_name``, ``score``; texts are elsewhere


class Step(Frozen):
    """A run step; a ``message_creation`` step carries its message's content too.

    ``superseded``: the work of an attempt that was lost. Its message ended as incomplete;
    neither is listed any more, and a later step does the work anew.
    """

    id: str
    turn: int  # model turn it belongs to, from 1; text and calls of one reply share it
    type: Literal["message_creation", "tool_calls"]
    status: StepStatus = "in_progress"
    created_at: int
    ended_at: int | None = None
    last_error: LastError | None = None
    usage: Usage | None = None
    message_id: str | None = None
    content: tuple[Json, ...] = ()
    incomplete_reason: str | None = None  # of the message; None for a completed one
    calls: tuple[ToolCall, ...] = ()
    superseded: bool = False

    @property
    def open(self) -> bool:
        return self.status == "in_progress"


class Event(Frozen):
    """Something that became true of the run. ``seq`` counts from 1 without a gap.

    ``data`` keeps those fields that later events change; the rest is in the run itself,
    and ``views.at_event`` puts the two together.
    """

    seq: int
    type: str  # the name that clients see in the event stream, as in ``thread.run.queued``
    at: float  # Unix seconds
    step_id: str | None = None
    data: Json = {}


class Outcome(Frozen):
    """How the run will end, once everything that must be visible before is visible."""

    status: EndStatus
    last_error: LastError | None = None
    incomplete_reason: str | None = None


class Slot(Frozen):
    """Where one open event stream listens: a partition of ``run-stream``, leased by a gateway."""

    slot: int
    stream: str  # the stream's own id, drawn by the gateway


class Published(Frozen):
    """The first ``n`` events reached the broker of that ``generation`` (its cluster id)."""

    generation: str = ""
    n: int = 0


class Settings(Frozen):
    """What the run copied from its assistant and its request; fixed from then on."""

    model: str
    instructions: str | None = None
    tools: tuple[Json, ...] = ()
    tool_resources: Json = {}
    file_ids: tuple[str, ...] = ()  # which v1 gave the assistant, for whatever tool
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: Json = {"type": "auto", "last_messages": None}
    response_format: Any = "auto"
    tool_choice: Any = "auto"
    parallel_tool_calls: bool = True
    awaited_stores: tuple[str, ...] = ()  # vector stores whose files the run waits for, if they are taken in


class Run(Frozen):
    """One run of an assistant on a thread.

    ``version`` counts saves and is the store's compare-and-set; ``epoch`` counts owners
    and is what fences one that was presumed dead.
    """

    id: str
    project_id: str
    thread_id: str
    assistant_id: str
    seq: int = 0  # position among the thread's runs; drawn by the store
    created_at: int
    settings: Settings
    metadata: dict[str, str] = {}
    input_upto: int = 0  # the last message of the thread that the run may read, by its seq

    status: Status = "queued"
    phase: Phase = "runnable"
    epoch: int = 0
    owner: str | None = None
    wake_at: float = 0.0  # Unix seconds: when a sweeper should look, if nothing happened until then
    rings: int = 0  # tool requests repeated since the calls were made
    more_rings: int = 0  # than usual, before the calls are given up: so long may one of them take
    attempt: int = 0  # take-overs of work in progress
    turn: int = 0  # model turns begun
    version: int = 0

    started_at: int | None = None
    expires_at: int
    ended_at: int | None = None
    outcome: Outcome | None = None
    usage: Usage | None = None

    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    slots: tuple[Slot, ...] = ()
    published: Published = Published()
    trace: str = ""  # W3C traceparent of the request that made the run; empty: none is kept
    schema_version: int = 1

    @property
    def ended(self) -> bool:
        return self.phase == "done"

    @property
    def step(self) -> Step | None:
        """The step in progress: the last one, if it is still open."""
        return self.steps[-1] if self.steps and self.steps[-1].open else None

    @property
    def awaited(self) -> tuple[ToolCall, ...]:
        """The calls of the step in progress that have no output yet."""
        return tuple(call for call in self.step.calls if call.output is None) if self.step else ()

    @property
    def used(self) -> Usage:
        return sum((step.usage for step in self.steps if step.usage), Usage())
