"""The contract between the services: every message that crosses Kafka.

Ids, times and trace context of the public feed are CloudEvents headers (``shared/feed.py``);
what is here are the bodies. Adding an optional field is always safe, since readers ignore
what they do not know. Any other change needs a new topic or type, published beside the old
one for a while.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from shared.runs.model import Published, Slot


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _or_later(value: Any, known: ValidatorFunctionWrapHandler) -> Any:
    try:
        return known(value)
    except ValidationError:
        if isinstance(value, str):
            return value
        raise


# Of words that only say why to look: one that a later version added is a reason to look, too.
OR_LATER = WrapValidator(_or_later)


class RunCommand(Message):
    """``run-commands``: look at this run now. The run itself says what is to be done.

    ``published`` is how far the sender announced the run's events.
    """

    run_id: str
    thread_id: str
    reason: Annotated[Literal["created", "outputs_submitted", "cancel_requested", "handed_over"], OR_LATER]
    published: Published = Published()


class CodeRequested(Message):
    """``tool-requests.code``: run ``code`` in the session of the thread.

    ``token`` must come back with the result. ``deadline`` is in Unix seconds; no result is
    of use after it. ``files`` are the ids of those that the code may read. What it prints goes
    to the streams in ``slots`` at once, as deltas of the call at ``index`` in the step.
    """

    call_id: str
    run_id: str
    thread_id: str
    project_id: str
    code: str
    token: str
    deadline: float
    files: tuple[str, ...] = ()
    step_id: str = ""
    index: int = 0
    slots: tuple[Slot, ...] = ()


class SearchRequested(Message):
    """``tool-requests.retrieval``: search these vector stores, which are all of ``project_id``.

    The hits are kept in MongoDB under ``call_id``. A search of a run (``run_id``, with its ``token``) is
    answered on ``tool-results``; one that a client asked for names the slot to answer to (``reply_to``), and
    has no run. ``filters`` are the API's own; ``hybrid`` holds embedding_weight and text_weight. At most
    ``token_budget`` tokens of text are for the model. ``deadline`` is in Unix seconds.
    """

    call_id: str
    project_id: str
    run_id: str = ""
    thread_id: str = ""
    token: str = ""
    deadline: float
    queries: tuple[str, ...]
    vector_store_ids: tuple[str, ...]
    max_num_results: int = 20
    score_threshold: float = 0.0
    ranker: str = "auto"
    hybrid: dict[str, float] | None = None
    filters: dict[str, Any] | None = None
    rewrite_query: bool = False
    token_budget: int | None = None
    reply_to: Slot | None = None


class FileCommand(Message):
    """``file-commands``: look at this file of a vector store now. Its document says what is to be done.

    With ``dropped`` no ``file_id`` is given: the whole store is to be let go.
    """

    project_id: str
    vector_store_id: str
    file_id: str = ""
    reason: Annotated[Literal["added", "removed", "dropped"], OR_LATER]


class ToolResult(Message):
    """``tool-results``: what a tool answered; the first result for a call stands.

    ``output`` is what the model is told, ``outputs`` what the API shows (logs, images).
    ``files`` are those that the thread's code has written: ``path`` (below /mnt/data) and ``file_id``.
    ``results`` are the hits of a search, best first, without their text, which is in MongoDB under the
    call's id: ``file_id``, ``file_name``, ``score``.
    """

    call_id: str
    run_id: str
    token: str
    output: str
    outputs: tuple[dict[str, Any], ...] = ()
    files: tuple[dict[str, Any], ...] = ()
    results: tuple[dict[str, Any], ...] = ()


class Frame(Message):
    """``run-stream``: one server-sent event on its way to the streams in one gateway's slot.

    For a state change ``seq`` is its place among the run's events and ``n`` is 0; a delta
    carries the ``seq`` that it follows and counts ``n`` up from 1. ``data`` is the v2 object.
    A delta with a ``source``, the call that it is of, comes from a tool while it runs: it counts
    ``n`` by itself, ``epoch`` is the attempt at the call, and ``seq`` says nothing.
    A ``whole`` delta is for a stream that came late: it holds all behind ``seq`` up to ``n``.
    """

    run_id: str
    epoch: int
    seq: int
    n: int = 0
    event: str
    data: dict[str, Any]
    streams: tuple[str, ...]
    source: str = ""
    whole: bool = False


class Control(Message):
    """``control``: told to every replica; whoever works on the run lets go of it, or tells one more stream.

    Readers pass over a ``type`` that they do not know.
    """

    type: Literal["cancel", "watch"] = "cancel"
    run_id: str
    thread_id: str
    slot: Slot | None = None  # of the stream that came late


class ThreadEvent(Message):
    """``thread-events``: a state change, as the public feed tells it: ids and small facts, no content."""

    project_id: str
    thread_id: str
    assistant_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    message_id: str | None = None
    status: str | None = None
    seq: int | None = None  # place among the run's events
