"""A short history in which all is well: what the checker must find nothing in."""

from shared import feed
from shared.runs import facts as f
from shared.runs.model import Run, Settings, ToolCall, Usage
from shared.runs.rules import advance, created
from shared.runs.views import at_event, message_view, run_view
from tests.chaos.history import History, Json, ModelCall, Op, Reading, Record, Seen, Transcript

NOW = 1_000_000.0
USED = Usage(prompt_tokens=10, completion_tokens=5)
THREADS = ("thread_text", "thread_code", "thread_function", "thread_cancelled")
GONE = "thread_gone"


def text(value: str) -> tuple[Json, ...]:
    return ({"type": "text", "text": {"value": value, "annotations": []}},)


def begun(thread_id: str, number: int, at: float) -> Run:
    run = Run(
        id=f"run_{thread_id}_{number}",
        project_id="default",
        thread_id=thread_id,
        assistant_id="asst_1",
        seq=number,
        created_at=int(at),
        settings=Settings(model="m"),
        input_upto=2 * number - 1,
        expires_at=int(at) + 45,
    )
    return advance(created(run, at), f.Claimed("owner", at + 0.1, 3))


def after(run: Run, *facts: f.Fact) -> Run:
    for fact in facts:
        changed = advance(run, fact)
        assert changed is not run, fact
        run = changed.evolve(version=run.version + 1)
    return run


def answered(run: Run, said: str, at: float) -> Run:
    return after(
        run,
        f.MessageStarted(run.epoch, at),
        f.Answered(run.epoch, at + 0.1, text(said), USED),
        f.Settled(at + 0.2),
    )


def called(run: Run, call: ToolCall, at: float) -> Run:
    return after(run, f.CallsStarted(run.epoch, at), f.CallsMade(run.epoch, at, (call,), USED))


def code_run(number: int, output: str, at: float) -> Run:
    run = begun("thread_code", number, at)
    call = ToolCall(id=f"call_{number}", type="code_interpreter", name="code_interpreter", input="1")
    run = called(run, call, at + 0.2)
    run = after(run, f.ToolAnswered(call.id, output, at + 0.3), f.Claimed("owner", at + 0.4, 3))
    return answered(run, f"{output} reply-c{number}", at + 0.5)


def function_run(at: float) -> Run:
    run = begun("thread_function", 1, at)
    run = called(run, ToolCall(id="call_f", type="function", name="f", input="{}"), at + 0.2)
    run = after(run, f.OutputsSubmitted({"call_f": "out"}, at + 1), f.Claimed("owner", at + 1.1, 3))
    return answered(run, "out reply-f", at + 1.2)


def cancelled_run(at: float) -> Run:
    run = after(begun("thread_cancelled", 1, at), f.MessageStarted(1, at + 0.2), f.CancelRequested(at + 1))
    return after(run, f.Stopped(1, at + 1.1, text("half"), USED), f.Settled(at + 1.2))


def retaken_run(at: float) -> Run:
    """The first owner died in mid-message."""
    run = after(begun("thread_text", 2, at), f.MessageStarted(1, at + 0.2), f.Claimed("second", at + 9, 3))
    return answered(run, "reply-2", at + 9.1)


def all_runs() -> list[Run]:
    return [
        answered(begun("thread_text", 1, NOW), "reply-1", NOW + 1),
        retaken_run(NOW + 3),
        code_run(1, "effect 1", NOW),
        code_run(2, "effect 2", NOW + 5),
        function_run(NOW),
        cancelled_run(NOW),
    ]


def clean() -> History:
    history = History(ended_at=NOW + 100, memory_mb={"gateway": (80.0, 90.0)}, secrets=["sk-secret"])
    for run in all_runs():
        add_run(history, run)
    for thread_id in THREADS:
        thread = {"_id": thread_id, "project_id": "default", "live": True}
        history.threads.append(thread)
        op = Op("thread", NOW - 1, NOW, 200, thread_id=thread_id, answer={"id": thread_id})
        history.ops.insert(0, op)
        history.readings.append(Reading("thread", thread_id, 200))
    history.ops.append(Op("delete", NOW, NOW, 200, thread_id=GONE, answer={"id": GONE}))
    history.readings.append(Reading("thread", GONE, 404))
    history.threads.append({"_id": GONE, "project_id": "default"})
    for status in (404, 0):
        path = {"path": "/threads/thread_text"}
        history.ops.append(Op("foreign", NOW, NOW, status, thread_id="thread_text", asked=path))
    history.slots = [{"_id": 1, "owner": "gateway", "until": NOW + 110}, {"_id": 2, "until": NOW + 20}]
    history.files = [{"_id": "file-1", "state": "there", "bytes": 3}, {"_id": "file-2", "state": "gone"}]
    history.bytes_of = ["file-1"]
    history.injected = ["{"]
    history.dead = [Record("tool-results.v1.dead", 0, 0, "", "{")]
    history.lag = {"run-orchestrator": 0}
    history.told = ["gateway: answered"]
    return history


def add_run(history: History, run: Run) -> None:
    document = run.model_dump(mode="json", exclude={"id", "settings"}) | {"_id": run.id}
    history.runs.append(document | {"published": {"generation": "g", "n": len(run.events)}})
    question = f"message-{run.id}."
    add_question(history, run, question)
    calls = [call for step in run.steps for call in step.calls]
    for call in calls:
        if call.type != "function":
            kept = {"done": True, "result": {"output": call.output}, "until": NOW, "owner": "worker"}
            history.executions.append({"_id": call.id, "run_id": run.id, **kept})
            history.model_calls.append(ModelCall(NOW, NOW + 1, [{"role": "user", "content": question}]))
    for number, step in enumerate(run.steps):
        if step.message_id:
            add_answer(history, run, number)
    for event in run.events:
        headers, body = feed.run_event(run, event)
        named = {name: value.decode() for name, value in headers}
        offset = len(history.feed)
        record = Record("thread-events.v1", 3, offset, run.thread_id, body.model_dump_json())
        record.id, record.type = named["ce_id"], named["ce_type"]
        history.feed.append(record)
    history.feed.append(history.feed[-1])  # told twice: that may be
    for status in ("queued", "in_progress", run.status):
        history.seen.append(Seen("client", NOW, run.id, run.thread_id, status))
    history.seen.append(Seen("store", NOW, run.id, run.thread_id, "in_progress", 1, 0))
    add_ops(history, run)
    events = [(event.type, at_event(run, event)) for event in run.events if "deleted" not in event.type]
    if not calls and run.status == "completed":
        history.transcripts.append(
            Transcript(run.id, run.thread_id, [*with_deltas(events), ("done", "[DONE]")])
        )


def add_question(history: History, run: Run, question: str) -> None:
    message = {
        "_id": f"msg_of_{run.id}",
        "project_id": "default",
        "thread_id": run.thread_id,
        "role": "user",
        "live": True,
        "status": "completed",
        "content": list(text(question)),
        "seq": len([each for each in history.messages if each["thread_id"] == run.thread_id]) + 1,
    }
    history.messages.append(message)
    message_id = message["_id"]
    answer = {"id": message_id}
    op = Op("message", NOW, NOW, 200, thread_id=run.thread_id, text=question, answer=answer)
    history.ops.append(op)
    history.readings.append(Reading("message", str(message_id), 200))


def add_answer(history: History, run: Run, number: int) -> None:
    step = run.steps[number]
    message = message_view(run, step)
    stored = {"_id": message["id"], "project_id": "default", "live": not step.superseded, **message}
    stored["seq"] = len([each for each in history.messages if each["thread_id"] == run.thread_id]) + 1
    history.messages.append(stored)
    asked = [
        {"role": "user", "content": each["content"][0]["text"]["value"]}
        for each in history.messages
        if each["role"] == "user" and each["thread_id"] == run.thread_id
    ]
    said = "a lost reply" if step.superseded else step.content[0]["text"]["value"]
    began = NOW + 2 * len(history.model_calls)
    history.model_calls.append(ModelCall(began, began + 1, asked, said))
    for call in history.model_calls[-2:-1]:
        if call.prompt[-1] == asked[-1]:
            call.prompt = asked


def add_ops(history: History, run: Run) -> None:
    ids: Json = {"thread_id": run.thread_id, "run_id": run.id}
    history.ops.append(Op("run", NOW, NOW, 200, answer={"id": run.id}, **ids))
    history.readings.append(Reading("run", run.id, 200))
    if run.status == "cancelled":
        history.ops.append(Op("cancel", NOW, NOW, 200, answer=run_view(run), **ids))
        return
    listed = [m for m in history.messages if m.get("run_id") == run.id and m["live"]]
    data = [{"id": message["_id"], "status": message["status"]} for message in listed]
    history.ops.append(Op("list", NOW, NOW, 200, answer={"data": data}, **ids))
    for step in run.steps:
        for call in step.calls:
            if call.type == "function":
                asked = {"tool_outputs": [{"tool_call_id": call.id, "output": call.output}]}
                history.ops.append(Op("submit", NOW, NOW, 200, asked=asked, **ids))


def with_deltas(events: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    """What a stream carries: the whole text in one delta before each completed message."""
    whole: list[tuple[str, Json]] = []
    for name, data in events:
        if name == "thread.message.completed":
            content = [{"index": index, **part} for index, part in enumerate(data["content"])]
            whole.append(("thread.message.delta", {"id": data["id"], "delta": {"content": content}}))
        whole.append((name, data))
    return whole
