"""The v1 form of objects that are kept in their v2 form.

What v1 does not know is left out; a status that would keep its clients polling for ever
is shown as the one that they know.
"""

from collections.abc import Callable
from typing import Any

from services.gateway.version import Version
from services.gateway.wire import v2
from shared.runs.model import Json

EVENT_NAMES = {"thread.run.incomplete": "thread.run.completed"}


def render(obj: Json, version: Version) -> Json:
    """Return ``obj``, a stored object or a list of them, as a client of ``version`` expects it."""
    if version is not Version.V1:
        return v2.render(obj)
    if obj["object"] == "list":
        return obj | {"data": [render(member, version) for member in obj["data"]]}
    convert = CONVERTERS.get(obj["object"])
    return convert(obj) if convert else obj


def event_name(name: str, version: Version) -> str:
    return EVENT_NAMES.get(name, name) if version is Version.V1 else name


def _assistant(obj: Json) -> Json:
    order = "id object created_at name description model instructions tools top_p temperature"
    shown = {name: obj[name] for name in order.split()}
    shown["tools"] = [_tool(tool) for tool in obj["tools"]]
    return shown | {
        "file_ids": obj.get("file_ids", []),
        "metadata": obj["metadata"],
        "response_format": obj["response_format"],
    }


def _thread(obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name != "tool_resources"}


def _message(obj: Json) -> Json:
    order = "id object created_at thread_id status incomplete_details incomplete_at completed_at role"
    return {name: obj[name] for name in order.split()} | {
        "content": _content(obj["content"]),
        "file_ids": list(dict.fromkeys(each["file_id"] for each in obj.get("attachments", ()))),
        "assistant_id": obj["assistant_id"],
        "run_id": obj["run_id"],
        "metadata": obj["metadata"],
    }


def _run(obj: Json) -> Json:
    unknown = ("file_ids", "reasoning_effort", "parallel_tool_calls")
    shown: Json = {}
    for name, value in obj.items():
        if name == "tool_resources":
            of_code = value.get("code_interpreter", {}).get("file_ids", [])
            shown["file_ids"] = list(dict.fromkeys([*obj.get("file_ids", ()), *of_code]))
        elif name not in unknown:
            shown[name] = value
    if obj["status"] == "incomplete":
        shown["status"] = "completed"
    shown["tools"] = [_tool(tool) for tool in obj["tools"]]
    choice = obj["tool_choice"]
    shown["tool_choice"] = _tool(choice) if isinstance(choice, dict) and "function" not in choice else choice
    return shown


def _step(obj: Json) -> Json:
    return obj | {"step_details": _step_details(obj["step_details"])}


def _step_delta(obj: Json) -> Json:
    return obj | {"delta": {"step_details": _step_details(obj["delta"]["step_details"])}}


def _message_delta(obj: Json) -> Json:
    return obj | {"delta": obj["delta"] | {"content": _content(obj["delta"].get("content", []))}}


def _tool(tool: Json) -> Json:
    if tool["type"] == "file_search":
        return {"type": "retrieval"}
    if tool["type"] == "function":
        function = {name: value for name, value in tool["function"].items() if name != "strict"}
        return {"type": "function", "function": function}
    return tool


def _step_details(details: Json) -> Json:
    if details["type"] != "tool_calls":
        return details
    return details | {"tool_calls": [_call(call) for call in details.get("tool_calls") or []]}


def _call(call: Json) -> Json:
    if call["type"] != "file_search":
        return call
    kept = {name: call[name] for name in ("index", "id") if name in call}
    return kept | {"type": "retrieval", "retrieval": {}}


def _content(parts: list[Json]) -> list[Json]:
    return [shown for part in parts if (shown := PARTS[part["type"]](part))]


def _text(part: Json) -> Json:
    text = part["text"]
    if not text.get("annotations"):
        return part
    return part | {"text": text | {"annotations": [_annotation(each) for each in text["annotations"]]}}


def _annotation(annotation: Json) -> Json:
    if annotation["type"] != "file_citation":
        return annotation
    return annotation | {"file_citation": {"quote": ""} | annotation["file_citation"]}


def _refusal(part: Json) -> Json:
    """v1 has no refusals; what the model said is a text like any other."""
    if "index" in part:
        return {"index": part["index"], "type": "text", "text": {"value": part["refusal"]}}
    return {"type": "text", "text": {"value": part["refusal"], "annotations": []}}


PARTS: dict[str, Callable[[Json], Any]] = {
    "text": _text,
    "refusal": _refusal,
    "image_file": lambda part: part,
    "image_url": lambda _: None,
}
CONVERTERS: dict[str, Callable[[Json], Json]] = {
    "assistant": _assistant,
    "thread": _thread,
    "thread.message": _message,
    "thread.message.delta": _message_delta,
    "thread.run": _run,
    "thread.run.step": _step,
    "thread.run.step.delta": _step_delta,
}
