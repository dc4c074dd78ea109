"""Invariants of tool calls, and of the owners that ask the model."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from shared.runs.rules import UNANSWERED
from tests.chaos.history import History, Json, ModelCall, calls_of

Broken = Iterator[tuple[str, str]]

# What the code of the scripted model prints: how often code took effect in this session.
EFFECT = re.compile(r"effect (\d+)")
NEW = re.compile(r"The sandbox is new|The sandbox was lost|The code could not be run|was not run again")


def each_call_has_one_output(history: History) -> Broken:
    """12: at most one accepted output for each call; all are answered when the run is completed."""
    for run in history.runs:
        calls = calls_of(run)
        for call_id, count in Counter(call["id"] for call in calls).items():
            if count > 1:
                yield f"{call_id} was made {count} times", run["_id"]
        unanswered = [call["id"] for call in calls if call["output"] is None]
        if run["status"] == "completed" and unanswered:
            yield f"completed without an output of {unanswered}", run["_id"]
    kept = {each["_id"]: each["result"]["output"] for each in history.executions if each["done"]}
    for run in history.runs:
        for call in calls_of(run):
            if call["type"] != "function" and call["output"] not in (
                None,
                UNANSWERED,
                kept.get(call["id"]),
            ):
                yield f"{call['id']} has an output that its worker did not keep", run["_id"]


def each_call_took_effect_once(history: History) -> Broken:
    """13: a call takes effect at most once, or is declared lost."""
    threads: dict[str, list[tuple[str, Json]]] = {}
    for run in sorted(history.runs, key=lambda run: run["seq"]):
        for call in calls_of(run):
            if call["type"] == "code_interpreter":
                threads.setdefault(run["thread_id"], []).append((run["_id"], call))
    for calls in threads.values():
        count, unknown = 0, 0  # effects so far; calls since, of whose effects nobody knows
        for run_id, call in calls:
            output = call["output"] or ""
            found = EFFECT.search(output)
            if NEW.search(output):
                count, unknown = 0, 0
            if found is None:
                unknown += 1
                continue
            effects = int(found[1])
            if not count < effects <= count + unknown + 1:
                yield f"{call['id']} took effect as the {effects}th, after {count} of its session", run_id
            count, unknown = effects, 0


def only_what_was_asked_is_answered(history: History) -> Broken:
    """14: no output after the end, and none for a call that nobody made."""
    runs = {run["_id"]: run for run in history.runs}
    made = {call["id"] for run in history.runs for call in calls_of(run)}
    for execution in history.executions:
        if execution["_id"] not in made:
            yield f"{execution['_id']} was executed, but never made", execution["run_id"]
    given: dict[str, set[str]] = {}
    for op in history.ops:
        if op.kind != "submit":
            continue
        outputs = {each["tool_call_id"]: each["output"] for each in op.asked["tool_outputs"]}
        for call_id, output in outputs.items():
            given.setdefault(call_id, set()).add(output)
        known = {call["id"] for call in calls_of(runs[op.run_id])} if op.run_id in runs else set()
        if op.done and not outputs.keys() <= known:
            yield f"outputs for {outputs.keys() - known} were accepted", op.run_id
        ended = runs[op.run_id]["ended_at"] if op.run_id in runs else None
        if op.done and ended is not None and op.asked_at > ended + 1 and op.tries == 1:
            yield "outputs were accepted after its end", op.run_id
    for run in history.runs:
        for call in calls_of(run):
            if call["type"] == "function" and call["output"] not in (None, *given.get(call["id"], ())):
                yield f"{call['id']} has an output that nobody gave", run["_id"]


def a_fenced_owners_reply_does_not_count(history: History) -> Broken:
    """16: model calls of one run overlap only if the older one's owner was fenced."""
    asked: dict[str, list[ModelCall]] = {}
    for call in history.model_calls:
        asked.setdefault(question_of(call), []).append(call)
    stored = {
        part["text"]["value"]: message
        for message in history.messages
        if message["role"] == "assistant" and message["live"] and message["status"] == "completed"
        for part in message["content"]
        if part["type"] == "text"
    }
    for question, calls in asked.items():
        if not question:
            continue
        calls.sort(key=lambda call: call.began_at)
        for older, newer in pairwise(calls):
            if newer.began_at < older.ended_at and older.said and older.said in stored:
                run_id = stored[older.said]["run_id"]
                yield f"{older.said!r} counts, but the model was asked anew meanwhile", run_id


def question_of(call: ModelCall) -> str:
    """The user's last message: no other has its text."""
    asked = [text_of(message) for message in call.prompt if message["role"] == "user"]
    return asked[-1] if asked else ""


def text_of(message: Json) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
