"""A run as its owners change it, with the frames that they send meanwhile."""

from services.gateway.stream.frames import Arrived
from shared.runs import facts as f
from shared.runs.model import Json, Ranking, Run, Settings, ToolCall, Usage
from shared.runs.rules import advance, created
from shared.runs.views import WITHDRAWN, Named, at_event

NOW = 1_700_000_000.0
USED = Usage(prompt_tokens=3, completion_tokens=4)
CITED = "See 【1】."
IMAGE = {"type": "image_file", "image_file": {"file_id": "file-2"}}
CITATION = {
    "type": "file_citation",
    "text": "【1】",
    "start_index": 4,
    "end_index": 7,
    "file_citation": {"file_id": "file-1", "quote": ""},
}


class History:
    """``frames[i]`` was sent while the store held ``stored[i]``."""

    def __init__(self, run_id: str = "run_1", *, now: float = NOW) -> None:
        run = Run(
            id=run_id,
            project_id="default",
            thread_id=f"thread_of_{run_id}",
            assistant_id="asst_1",
            created_at=int(now),
            settings=Settings(model="m"),
            expires_at=int(now) + 600,
        )
        self.now = now
        self.frames: list[Arrived] = []
        self.stored: list[Run] = []
        self.run = run
        self._seq = 0
        self._n = 0
        self._become(created(run, now))

    def _become(self, run: Run) -> None:
        self.run = run
        for event in run.events[self._seq :]:
            self._seq, self._n = event.seq, 0
            if event.type != WITHDRAWN:
                self._send(0, event.type, at_event(run, event))

    def _send(self, n: int, event: str, data: Json) -> None:
        self.frames.append(Arrived(self.run.id, self.run.epoch, self._seq, n, n, event, data))
        self.stored.append(self.run)

    def happens(self, fact: f.Fact) -> None:
        self._become(advance(self.run, fact))

    def delta(self, event: str, item_id: str, delta: Json) -> None:
        self._n += 1
        self._send(self._n, event, {"id": item_id, "object": event, "delta": delta})

    def claim(self) -> None:
        self.happens(f.Claimed("owner", max(self.now, self.run.wake_at), 15))

    def write(self, *values: str, annotations: tuple[Json, ...] = (), images: tuple[Json, ...] = ()) -> None:
        """The owner opens a message and streams ``values``; the annotations come with the last one."""
        self.happens(f.MessageStarted(self.run.epoch, self.now))
        step = self.run.steps[-1]
        assert step.message_id
        for place, image in enumerate(images):
            self.delta("thread.message.delta", step.message_id, {"content": [{"index": place, **image}]})
        for i, value in enumerate(values):
            text: Json = {"value": value, "annotations": []} if i == 0 else {"value": value}
            if annotations and i == len(values) - 1:
                text["annotations"] = [{"index": j, **a} for j, a in enumerate(annotations)]
            content = [{"index": len(images), "type": "text", "text": text}]
            self.delta("thread.message.delta", step.message_id, {"content": content})

    def call(self, *calls: ToolCall, pieces: int = 3) -> None:
        """The owner opens a step of ``calls`` and streams their inputs in ``pieces``."""
        self.happens(f.CallsStarted(self.run.epoch, self.now))
        for index, call in enumerate(calls):
            if call.type == "file_search":  # of which nothing is streamed while the model writes
                search = {"ranking_options": call.ranking.model_dump(), "results": []}
                self._call_delta({"index": index, "id": call.id, "type": call.type, call.type: search})
                continue
            key = "input" if call.type == "code_interpreter" else "arguments"
            rest: Json = {"outputs": []} if key == "input" else {"name": call.name, "output": None}
            first = {key: "", **rest}
            self._call_delta({"index": index, "id": call.id, "type": call.type, call.type: first})
            size = -(-len(call.input) // pieces)
            for at in range(0, len(call.input), size):
                piece = {key: call.input[at : at + size]}
                self._call_delta({"index": index, "type": call.type, call.type: piece})
        self.happens(f.CallsMade(self.run.epoch, self.now, calls, USED))

    def prints(self, call_id: str, *texts: str, attempt: int = 1) -> None:
        """The tool streams what the step's first call prints, beside the owner's frames."""
        delta = "thread.run.step.delta"
        for n, text in enumerate(texts, 1):
            logs = {"outputs": [{"index": 0, "type": "logs", "logs": text}]}
            calls = [{"index": 0, "type": "code_interpreter", "code_interpreter": logs}]
            details = {"step_details": {"type": "tool_calls", "tool_calls": calls}}
            data = {"id": self.run.steps[-1].id, "object": delta, "delta": details}
            self.frames.append(Arrived(self.run.id, attempt, 0, n, n, delta, data, call_id))
            self.stored.append(self.run)

    def _call_delta(self, call: Json) -> None:
        details = {"type": "tool_calls", "tool_calls": [call]}
        self.delta("thread.run.step.delta", self.run.steps[-1].id, {"step_details": details})

    def answer(
        self,
        text: str,
        *,
        annotations: tuple[Json, ...] = (),
        images: tuple[Json, ...] = (),
        reason: str | None = None,
    ) -> None:
        part = {"type": "text", "text": {"value": text, "annotations": list(annotations)}}
        self.happens(f.Answered(self.run.epoch, self.now, (*images, part), USED, reason))
        self.happens(f.Settled(self.now))


def plain(run_id: str = "run_1", *, now: float = NOW) -> History:
    history = History(run_id, now=now)
    history.claim()
    history.write("Hel", "lo ", "wor", "ld")
    history.answer("Hello world")
    return history


def with_code(*prints: str) -> History:
    """A code call with logs and an image, then an answer with the image and a citation.

    ``prints`` are streamed while the code runs.
    """
    history = History()
    history.claim()
    history.call(
        ToolCall(id="call_c", type="code_interpreter", name="code_interpreter", input="print(6 * 7)")
    )
    history.prints("call_c", *prints)
    outputs = ({"type": "logs", "logs": "42\n"}, {"type": "image", "image": {"file_id": "file-2"}})
    history.happens(f.ToolAnswered("call_c", "42", NOW, outputs))
    history.claim()
    history.write("See ", "【1】", ".", annotations=(CITATION,), images=(IMAGE,))
    history.answer(CITED, annotations=(CITATION,), images=(IMAGE,))
    return history


LINK = {
    "type": "file_path",
    "text": "sandbox:/mnt/data/a.csv",
    "start_index": 15,
    "end_index": 38,
    "file_path": {"file_id": "file-3"},
}


def with_search() -> History:
    """Two searches of one turn, then an answer with a citation, and a link that only the end tells."""
    history = History()
    history.claim()
    ranking = Ranking(score_threshold=0.5)
    history.call(
        *(
            ToolCall(id=each, type="file_search", name="file_search", input='["q"]', ranking=ranking)
            for each in ("call_s", "call_t")
        )
    )
    found = (
        {"file_id": "file-1", "file_name": "1", "score": 0.9},
        {"file_id": "file-2", "file_name": "2", "score": 0.7},
    )
    history.happens(f.ToolAnswered("call_s", "", NOW, results=found))
    history.happens(f.ToolAnswered("call_t", "", NOW))
    history.claim()
    history.write("See ", "【1】", annotations=(CITATION,))
    history.answer("See 【1】, or in sandbox:/mnt/data/a.csv", annotations=(CITATION, LINK))
    return history


def functions(*, mixed: bool = False) -> History:
    history = History()
    history.claim()
    calls = [
        ToolCall(id="call_a", type="function", name="weather", input='{"city": "Paris"}'),
        ToolCall(id="call_b", type="function", name="time", input='{"zone": "CET"}'),
    ]
    if mixed:
        calls.insert(
            0, ToolCall(id="call_c", type="code_interpreter", name="code_interpreter", input="1 + 1")
        )
    history.call(*calls)
    if mixed:
        history.happens(f.ToolAnswered("call_c", "2", NOW, ({"type": "logs", "logs": "2"},)))
    return history


def taken_over() -> History:
    """The first owner dies in mid-sentence; the second one writes the message anew."""
    history = History()
    history.claim()
    history.write("Hel", "lo")
    history.claim()
    history.write("Good ", "day")
    history.answer("Good day")
    return history


def cut_short() -> History:
    history = History()
    history.claim()
    history.write("One ", "two ")
    history.answer("One two ", reason="max_completion_tokens")
    return history


def cancelled() -> History:
    """The gateway tells of the cancellation; the owner writes on for a moment, then lets go."""
    history = History()
    history.claim()
    history.write("One ")
    late = history.run
    history.happens(f.CancelRequested(NOW))
    data = {"content": [{"index": 0, "type": "text", "text": {"value": "two"}}]}
    message = {"id": late.steps[-1].message_id, "object": "thread.message.delta", "delta": data}
    history.frames.append(
        Arrived(late.id, late.epoch, len(late.events), 2, 2, "thread.message.delta", message)
    )
    history.stored.append(history.run)
    part = {"type": "text", "text": {"value": "One two", "annotations": []}}
    history.happens(f.Stopped(history.run.epoch, NOW, (part,), USED))
    history.happens(f.Settled(NOW))
    return history


def told(run: Run) -> list[str]:
    """The events of ``run`` that a stream tells."""
    return [event.type for event in run.events if event.type != WITHDRAWN]


def check(pairs: list[Named], run: Run) -> None:
    """Every event once, in order; deltas add up to what each message and step ended with."""
    assert [name for name, _ in pairs if not name.endswith(".delta")] == told(run)
    superseded = {i for step in run.steps if step.superseded for i in (step.id, step.message_id)}
    sums: dict[str, dict[tuple[object, ...], str]] = {}
    for name, data in pairs:
        if name.endswith(".delta"):
            _add(sums.setdefault(data["id"], {}), data["delta"])
        elif name.endswith((".completed", ".incomplete")) and data["object"] != "thread.run":
            if data["id"] not in superseded and data.get("type") != "message_creation":
                assert sums.get(data["id"], {}) == _leaves(data), name
        elif name == "thread.run.requires_action":
            for call in data["required_action"]["submit_tool_outputs"]["tool_calls"]:
                sent = sums[run.steps[-1].id]
                index = next(path[0] for path, text in sent.items() if text == call["id"])
                assert sent[index, "arguments"] == call["function"]["arguments"]
                assert sent[index, "name"] == call["function"]["name"]


def _add(total: dict[tuple[object, ...], str], delta: Json) -> None:
    for path, text in _leaves(delta).items():
        total[path] = total.get(path, "") + text


def _leaves(data: Json) -> dict[tuple[object, ...], str]:
    """Every text that counts, by where it is."""
    leaves: dict[tuple[object, ...], str] = {}
    for i, part in enumerate(data.get("content", [])):
        at = part.get("index", i)
        if part["type"] == "image_file":
            leaves[at, "file_id"] = part["image_file"]["file_id"]
            continue
        leaves[at, "value"] = part["text"].get("value", "")
        for j, annotation in enumerate(part["text"].get("annotations", [])):
            leaves[at, "annotation", annotation.get("index", j)] = annotation["text"]
    for i, call in enumerate(data.get("step_details", {}).get("tool_calls", [])):
        at, detail = call.get("index", i), call[call["type"]]
        if "id" in call:
            leaves[at, "id"] = call["id"]
        for name in ("input", "name", "arguments"):
            if detail.get(name):
                leaves[at, name] = detail[name]
        for j, result in enumerate(detail.get("results", [])):
            leaves[at, "result", result.get("index", j)] = result["file_id"]
        for j, output in enumerate(detail.get("outputs", [])):
            leaf = output.get("logs") or output["image"]["file_id"]
            leaves[at, "output", output.get("index", j)] = leaf
    return leaves
