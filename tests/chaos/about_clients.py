"""Invariants of what clients were told."""

from collections import Counter
from collections.abc import Iterator

from tests.chaos.about_tools import question_of, text_of
from tests.chaos.history import History, Json, Transcript
from tests.e2e.order import LAST, check

Broken = Iterator[tuple[str, str]]

CREATES = ("assistant", "thread", "message", "run", "file")
GONE = 404
FORBIDDEN = (401, 403, 404)


def what_was_acknowledged_can_be_read(history: History) -> Broken:
    """1: what was acknowledged is there afterwards."""
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    read = {reading.id: reading.status for reading in history.readings}
    for op in history.ops:
        if op.kind not in CREATES or not op.done or op.thread_id in gone:
            continue
        if (status := read.get(op.answer["id"])) != 200:
            yield f"{op.kind} {op.answer['id']} was acknowledged, and is answered {status}", op.run_id


def messages_are_stored_once_in_order(history: History) -> Broken:
    """18: a user's message is stored once for each operation, in order; places have no gap."""
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    texts = Counter[str]()
    places: dict[str, int] = {}
    for message in history.messages:
        if message["role"] == "user" and message["live"]:
            text = "".join(part["text"]["value"] for part in message["content"])
            texts[text] += 1
            places[text] = message["seq"]
    threads: dict[str, int] = {}
    for op in history.ops:
        if not op.text or op.thread_id in gone:
            continue
        if texts[op.text] > 1 or (op.done and texts[op.text] == 0):
            yield f"the message {op.text!r} is stored {texts[op.text]} times", ""
        elif op.done:
            if places[op.text] <= threads.get(op.thread_id, 0):
                yield f"the message {op.text!r} is not behind those before it", ""
            threads[op.thread_id] = places[op.text]
    seqs: dict[str, list[int]] = {}
    for message in history.messages:
        seqs.setdefault(message["thread_id"], []).append(message["seq"])
    for thread_id, found in seqs.items():
        if sorted(found) != list(range(1, len(found) + 1)) and thread_id not in gone:
            yield f"the places in {thread_id} are {sorted(found)}", ""


def the_model_read_the_threads_messages(history: History) -> Broken:
    """19: a run's input is its thread's messages up to its start."""
    threads: dict[str, list[Json]] = {}
    for message in sorted(history.messages, key=lambda message: int(message["seq"])):
        if message["role"] == "user" and message["live"]:
            threads.setdefault(message["thread_id"], []).append(message)
    wanted: dict[str, tuple[str, list[str]]] = {}
    for run in history.runs:
        read = [m for m in threads.get(run["thread_id"], []) if m["seq"] <= run["input_upto"]]
        texts = ["".join(part["text"]["value"] for part in message["content"]) for message in read]
        if texts:
            wanted[texts[-1]] = (run["_id"], texts)
    for call in history.model_calls:
        run_id, texts = wanted.get(question_of(call), ("", []))
        read_texts = [text_of(message) for message in call.prompt if message["role"] == "user"]
        if run_id and read_texts != texts:
            yield f"the model was told {read_texts}, the thread has {texts}", run_id


def streams_are_whole(history: History) -> Broken:
    """20: streams keep the order, their deltas add up to what is stored, and they end in done or error."""
    stored = {message["_id"]: message for message in history.messages}
    gone = {op.thread_id for op in history.ops if op.kind == "delete"}
    for transcript in history.transcripts:
        names = [name for name, _ in transcript.events]
        if transcript.broken or "error" in names:
            if "done" in names[:-1]:
                yield "a stream went on behind done", transcript.run_id
            continue
        try:
            check(transcript.events)
        except (AssertionError, IndexError) as error:
            yield f"its stream: {error or names}", transcript.run_id
            continue
        yield from _ends_alike(history, transcript)
        for name, data in transcript.events:
            if name == "thread.message.completed" and transcript.thread_id not in gone:
                message = stored.get(data["id"])
                if message is None or (message["live"] and list(message["content"]) != data["content"]):
                    yield f"{data['id']} was sent otherwise than it is stored", transcript.run_id


def _ends_alike(history: History, transcript: Transcript) -> Broken:
    last = transcript.events[-2][0]
    run = next((run for run in history.runs if run["_id"] == transcript.run_id), None)
    if run and last in LAST and last not in ("thread.run.requires_action", f"thread.run.{run['status']}"):
        yield f"its stream ended with {last}, the run is {run['status']}", transcript.run_id


def projects_are_closed(history: History) -> Broken:
    """23: no object can be read or changed with the key of another project."""
    for op in history.ops:
        if op.kind == "foreign" and op.status and op.status < 500 and op.status not in FORBIDDEN:
            yield f"{op.asked} was answered {op.status}", op.run_id
    projects = {thread["_id"]: thread["project_id"] for thread in history.threads}
    for each in (*history.runs, *history.messages):
        if projects.get(each["thread_id"], each["project_id"]) != each["project_id"]:
            yield f"{each['_id']} and its thread belong to two projects", ""


def the_deleted_stays_deleted(history: History) -> Broken:
    """27: what was deleted does not come back."""
    gone = {op.thread_id or op.answer.get("id", "") for op in history.ops if op.kind == "delete" and op.done}
    for reading in history.readings:
        if reading.id in gone and reading.status != GONE:
            yield f"{reading.kind} {reading.id} was deleted, and is answered {reading.status}", ""
    for thread in history.threads:
        if thread["_id"] in gone and thread.get("live"):
            yield f"{thread['_id']} was deleted, and is there again", ""
