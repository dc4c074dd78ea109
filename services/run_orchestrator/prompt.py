"""What the model sees: instructions, the thread's messages, and what this run did so far."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias

from services.run_orchestrator.file_search import FILE_SEARCH, SEARCH_TOOL
from services.run_orchestrator.passages import GONE, NOTHING, Passages
from shared.files.for_code import FOLDER, CodeFile
from shared.runs.model import Json, Run, Step, ToolCall
from shared.stores.database import Document

CODE_INTERPRETER = "code_interpreter"
Prompt: TypeAlias = dict[str, Any]  # arguments of a chat completion, without model and stream

IMAGE_BYTES = re.compile(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*")
FILES = "Uploaded files, in the working directory of the code:"
NOTHING_SAID = "You are a helpful assistant."  # models refuse a prompt without a message
CODE_TOOL = {
    "type": "function",
    "function": {
        "name": CODE_INTERPRETER,
        "description": (
            "Runs Python and returns what it printed, with the value of the last expression. "
            "Variables and files stay between calls. There is no network. "
            "The working directory is /mnt/data. Figures are shown to the user. "
            "To let the user download a file that the code wrote, "
            "link to it in the answer as sandbox:/mnt/data/<name>."
        ),
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "Python source"}},
            "required": ["code"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Beside:
    """What a prompt holds beside the thread's messages.

    ``files`` are the code's; ``searchable`` says in words what there is to search.
    """

    files: Sequence[CodeFile] = ()
    searchable: str = ""
    passages: Passages = field(default_factory=Passages)


BARE = Beside()


def build_prompt(run: Run, thread: Sequence[Document], beside: Beside = BARE) -> Prompt:
    """Build the request for the run's next model turn from the messages of its ``thread``."""
    settings = run.settings
    messages: list[Json] = []
    told = [settings.instructions, _files(beside.files), beside.searchable]
    if any(told):
        messages.append({"role": "system", "content": "\n\n".join(filter(None, told))})
    messages += [_said(message) for message in thread]
    messages += _done(run.steps, beside.passages)
    prompt: Prompt = {"messages": messages or [{"role": "system", "content": NOTHING_SAID}]}
    optional = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "reasoning_effort": settings.reasoning_effort,
        "response_format": None if settings.response_format == "auto" else settings.response_format,
    }
    prompt |= {name: value for name, value in optional.items() if value is not None}
    if (left := completion_budget(run)) is not None:
        # Servers that know reasoning models refuse the older name for those, and most others know only it.
        prompt["max_completion_tokens" if settings.reasoning_effort else "max_tokens"] = left
    return prompt | _tools(run)


def _files(files: Sequence[CodeFile]) -> str:
    lines = [
        f"- {file.name} (id {file.id}): too large for the sandbox, cannot be opened"
        if file.too_large
        else f"- {FOLDER}/{file.name} (also {FOLDER}/{file.id}), {file.bytes} bytes"
        for file in files
    ]
    return "\n".join([FILES, *lines]) if lines else ""


def words_of(prompt: Prompt) -> str:
    """The prompt as one text, to be measured: without the bytes of its images."""
    return IMAGE_BYTES.sub("", json.dumps(prompt, ensure_ascii=False))


def completion_budget(run: Run) -> int | None:
    """Tokens that the run may still write; None without a limit."""
    most = run.settings.max_completion_tokens
    return None if most is None else max(most - run.used.completion_tokens, 0)


def offered_functions(run: Run) -> set[str]:
    """The names that the model may call."""
    return {tool["function"]["name"] for tool in _tools(run).get("tools", ())}


def _tools(run: Run) -> Prompt:
    tools: list[Json] = []
    for tool in run.settings.tools:
        if tool["type"] == CODE_INTERPRETER:
            tools.append(CODE_TOOL)
        elif tool["type"] == FILE_SEARCH:
            tools.append(SEARCH_TOOL)
        elif tool["type"] == "function":
            function = {name: value for name, value in tool["function"].items() if value not in (None, False)}
            tools.append({"type": "function", "function": function})
    if not tools:
        return {}
    chosen: Prompt = {"tools": tools, "tool_choice": _choice(run)}
    if not run.settings.parallel_tool_calls:
        chosen["parallel_tool_calls"] = False
    return chosen


def _choice(run: Run) -> Any:
    """A forced call is forced in the first turn only: the run would never end else."""
    choice = run.settings.tool_choice
    if run.turn > 1 and choice != "none":
        return "auto"
    if isinstance(choice, dict) and choice["type"] != "function":
        offered = any(tool["type"] == choice["type"] for tool in run.settings.tools)
        return {"type": "function", "function": {"name": choice["type"]}} if offered else "auto"
    return choice


def _said(message: Document) -> Json:
    return {"role": message["role"], "content": _content(message["role"], message["content"])}


def _content(role: str, parts: Iterable[Json]) -> str | list[Json]:
    """Text alone goes as a string, which every server takes; a user's images go as parts."""
    kept: list[Json] = []
    for part in parts:
        if part["type"] == "text":
            kept.append({"type": "text", "text": part["text"]["value"]})
        elif part["type"] == "image_url" and role == "user":
            kept.append(part)
    if all(part["type"] == "text" for part in kept):
        return "\n".join(part["text"] for part in kept)
    return kept


def _done(steps: Sequence[Step], passages: Passages) -> list[Json]:
    """Each finished turn of the run as the assistant's message with its calls, and their outputs."""
    messages: list[Json] = []
    kept = [step for step in steps if not step.superseded]
    for _, turn in groupby(kept, key=lambda step: step.turn):
        said: Json = {"role": "assistant", "content": None}
        outputs: list[Json] = []
        for step in turn:
            if step.content:
                said["content"] = _content("assistant", step.content)
            for call in step.calls:
                function = {"name": call.name, "arguments": _arguments(call)}
                said.setdefault("tool_calls", []).append(
                    {"id": call.id, "type": "function", "function": function}
                )
                outputs.append({"role": "tool", "tool_call_id": call.id, "content": _output(call, passages)})
        messages += [said, *outputs]
    return messages


def _arguments(call: ToolCall) -> str:
    """As the model wrote them, or would have."""
    if call.type == CODE_INTERPRETER:
        return json.dumps({"code": call.input}, ensure_ascii=False)
    if call.type == FILE_SEARCH:
        return json.dumps({"queries": json.loads(call.input)}, ensure_ascii=False)
    return call.input


def _output(call: ToolCall, passages: Passages) -> str:
    if call.type != FILE_SEARCH:
        return call.output or ""
    if call.results:
        return passages.told.get(call.id, GONE)
    return call.output or NOTHING
