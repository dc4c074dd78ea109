"""What a client will have added up of each message and step, and the delta that makes it whole.

Only for what began in this stream, or of which the client said how much it has.
"""

import logging

from services.gateway.stream.arithmetic import Differs, Sum, add, missing, text
from shared.runs.model import Json, Run
from shared.runs.views import Named, call_view

log = logging.getLogger(__name__)

MESSAGE_ENDS = ("thread.message.completed", "thread.message.incomplete")
STEP_ENDS = tuple(f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired"))
REQUIRES_ACTION = "thread.run.requires_action"


class AskStore(Exception):
    """The event alone does not tell what is missing before it; the run does."""


class Sums:
    def __init__(self) -> None:
        self._open: dict[str, Sum] = {}  # by the id of the message or step
        self._calls_of = ""  # the step whose calls may come to need an action
        self._resumed = ""  # of this one only lengths are known

    def resume(self, item_id: str, known: Sum, *, calls: bool) -> None:
        """The client has ``known`` of an item that began before this stream."""
        self._open[item_id] = known
        self._resumed = item_id
        self._calls_of = item_id if calls else ""

    @property
    def current(self) -> Sum:
        """What was sent of the item that is open; empty if none is."""
        return next(iter(self._open.values()), {})

    def rest_of(self, data: Json) -> Json | None:
        """Return what the client lacks of a delta that holds all so far; {}: nothing, None: nobody knows."""
        total = self._open.get(data["id"])
        if total is None:
            return None
        try:
            rest = missing(total, data["delta"])
        except Differs:
            return None
        return {**data, "delta": rest} if rest else {}

    def begin(self, event: str, data: Json) -> None:
        """Note an event that was yielded."""
        if event in MESSAGE_ENDS or event in STEP_ENDS:
            self._open.pop(data["id"], None)
        elif event == "thread.message.created":
            self._open[data["id"]] = {}
        elif event == "thread.run.step.created" and data["step_details"]["type"] == "tool_calls":
            self._open[data["id"]] = {}
            self._calls_of = data["id"]

    def add(self, data: Json) -> None:
        """Note a delta that was yielded."""
        if (total := self._open.get(data["id"])) is not None:
            add(total, data["delta"])

    def has_calls(self, data: Json) -> bool:
        """Whether the client knows each call that a step's delta adds to, and none has come to its end."""
        begun = self._open.get(data["id"], {}).get("step_details", {}).get("tool_calls", {})
        match data["delta"]:
            case {"step_details": {"tool_calls": [*calls]}}:
                return all(isinstance(call, dict) and call.get("index") in begun for call in calls)
        return False

    def before(self, event: str, data: Json, run: Run | None) -> list[Named]:
        """Return the delta that must precede ``event``, if one is missing.

        ``run`` is given where the event came from the store.

        Raises:
            AskStore: come back with the run.
        """
        if event in MESSAGE_ENDS:
            total = self._open.get(data["id"])
            rest = self._rest(event, data["id"], total, {"content": data["content"]})
            return _delta("thread.message.delta", data["id"], rest)
        if event in STEP_ENDS:
            total = self._open.get(data["id"])
            rest = self._rest(event, data["id"], total, {"step_details": data["step_details"]})
            return _delta("thread.run.step.delta", data["id"], rest)
        if event == REQUIRES_ACTION and (total := self._open.get(self._calls_of)) is not None:
            final = _calls_in(data, total) if run is None else _calls_in_step(run, self._calls_of)
            rest = self._rest(event, self._calls_of, total, {"step_details": final})
            return _delta("thread.run.step.delta", self._calls_of, rest)
        return []

    def closing(self, event: str, data: Json) -> Json:
        """Return ``data`` with what the client has added up where a lost draft ends with less.

        The draft was never stored; an SDK reads the part that it last heard of from the closing message.
        """
        if event != MESSAGE_ENDS[1] or data["id"] == self._resumed:
            return data
        heard = self._open.get(data["id"], {}).get("content", {})
        if len(heard) <= len(data["content"]):
            return data
        return {**data, "content": [_part(heard.get(index, {})) for index in range(max(heard) + 1)]}

    def _rest(self, event: str, item_id: str, total: Sum | None, final: Json) -> Json:
        if total is None:
            return {}
        try:
            rest = missing(total, final)
            add(total, rest)
            return rest
        except Differs as error:
            # Normal only where an owner died: the draft that it streamed was never stored.
            level = logging.WARNING if event.endswith("completed") else logging.INFO
            details = {"event": event, "item_id": item_id, "reason": str(error)}
            log.log(level, "what was streamed is not what was stored", extra=details)
            return {}


def _part(heard: Sum) -> Json:
    if "image_file" in heard:
        return {"type": "image_file", "image_file": {"file_id": text(heard["image_file"], "file_id")}}
    return {"type": "text", "text": {"value": text(heard.get("text", {}), "value"), "annotations": []}}


def _delta(event: str, item_id: str, delta: Json) -> list[Named]:
    return [(event, {"id": item_id, "object": event, "delta": delta})] if delta else []


def _calls_in_step(run: Run, step_id: str) -> Json:
    """The step's calls as they were when the client was asked: without its answers."""
    step = next(step for step in run.steps if step.id == step_id)
    calls = [call.evolve(output=None) if call.type == "function" else call for call in step.calls]
    return {"type": "tool_calls", "tool_calls": [call_view(call) for call in calls]}


def _calls_in(data: Json, total: Sum) -> Json:
    """The calls that ``requires_action`` names, each at the index under which it was begun.

    Raises:
        AskStore: others were begun than these, and only the step tells their order.
    """
    calls: list[Json] = data["required_action"]["submit_tool_outputs"]["tool_calls"]
    begun = total.get("step_details", {}).get("tool_calls", {})
    ids = [text(begun[index], "id") if index in begun else None for index in range(len(begun))]
    if ids != [call["id"] for call in calls]:
        raise AskStore
    return {"type": "tool_calls", "tool_calls": calls}
