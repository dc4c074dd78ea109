"""A model's reply as it comes, piece by piece: what is stored, and what streams see in which order."""

from dataclasses import dataclass

import pytest

from services.run_orchestrator.draft import Draft
from services.run_orchestrator.frames import Deltas
from services.run_orchestrator.ledger import Cancelled, Fenced, Ledger
from services.run_orchestrator.replies import CallPiece, End, FaultyReply, Piece, Text
from shared.ids import derived_id
from shared.runs import facts as f
from shared.runs.model import Json, Run, Slot, Usage
from shared.runs.rules import advance, created
from shared.stores.database import Database
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from tests.unit.recording_publisher import RecordingPublisher
from tests.unit.run_samples import CANCELLED, CLAIMED, FACTS, NOW, USAGE, after, new_run

TOOLS: tuple[Json, ...] = (
    {"type": "code_interpreter"},
    {"type": "function", "function": {"name": "weather"}},
)
STEP_OPENS = ["thread.run.step.created", "thread.run.step.in_progress"]
MESSAGE_OPENS = [*STEP_OPENS, "thread.message.created", "thread.message.in_progress"]
MESSAGE_ENDS = ["thread.message.completed", "thread.run.step.completed"]


@dataclass
class Bench:
    """A claimed run on a real store, watched by one stream."""

    runs: RunStore
    messages: MessageStore
    publisher: RecordingPublisher
    ledger: Ledger
    draft: Draft

    async def take(self, *pieces: Piece) -> Run:
        for piece in pieces:
            await self.draft.take(piece)
        return self.ledger.run

    @property
    def told(self) -> list[str]:
        """Since the claim, deltas in a row as one."""
        log = [name for name in self.publisher.log if not name.startswith("thread.run.in_progress")]
        return [
            name for place, name in enumerate(log) if not name.endswith("delta") or log[place - 1] != name
        ]

    def deltas(self) -> list[Json]:
        return [data["delta"] for _, _, event, data in self.publisher.frames if event.endswith("delta")]


@pytest.fixture
async def bench(db: Database) -> Bench:
    runs, messages, publisher = RunStore(db), MessageStore(db), RecordingPublisher()
    await runs.create_indexes()
    await messages.create_indexes()
    run = new_run().evolve(slots=(Slot(slot=1, stream="s"),))
    run = await runs.add(created(run.evolve(settings=run.settings.evolve(tools=TOOLS)), NOW))
    run = await runs.save(run, after(run, CLAIMED))
    publisher.announced = len(run.events)
    ledger = Ledger(run, runs, messages, publisher)
    return Bench(runs, messages, publisher, ledger, Draft(ledger, Deltas(publisher), {}))


async def test_a_text_is_told_from_its_beginning_to_its_end(bench: Bench) -> None:
    run = await bench.take(Text("Hel"), Text("lo"), End("stop", USAGE))
    assert bench.told == [*MESSAGE_OPENS, "thread.message.delta"]
    left = run.events[bench.publisher.announced :]
    assert [event.type for event in left] == MESSAGE_ENDS  # which is told with the end of the run
    streamed = "".join(delta["content"][0]["text"]["value"] for delta in bench.deltas())
    assert streamed == run.steps[0].content[0]["text"]["value"] == "Hello"
    assert (run.phase, run.outcome and run.outcome.status) == ("ending", "completed")
    stored = await bench.messages.get("thread_1", run.steps[0].message_id or "")
    assert stored is not None
    assert (stored["status"], stored["content"]) == ("completed", list(run.steps[0].content))


async def test_the_message_is_there_before_anybody_is_told(bench: Bench) -> None:
    await bench.take(Text("H"))
    assert await bench.messages.get("thread_1", bench.ledger.run.steps[0].message_id or "")


async def test_text_and_calls_are_two_steps_of_one_turn(bench: Bench) -> None:
    run = await bench.take(
        Text("Let me see."),
        CallPiece(0, "code_interpreter", ""),
        CallPiece(0, "", '{"code": "1'),
        CallPiece(0, "", '+1"}'),
        CallPiece(1, "weather", '{"city":'),
        CallPiece(1, "", '"Rome"}'),
        Text("ignored: it belongs nowhere"),
        End("tool_calls", USAGE),
    )
    assert bench.told == [
        *MESSAGE_OPENS,
        "thread.message.delta",
        *MESSAGE_ENDS,
        *STEP_OPENS,
        "thread.run.step.delta",
    ]
    assert [step.turn for step in run.steps] == [1, 1]
    calls = run.steps[1].calls
    assert [(call.type, call.name, call.input) for call in calls] == [
        ("code_interpreter", "code_interpreter", "1+1"),
        ("function", "weather", '{"city":"Rome"}'),
    ]
    assert (run.phase, run.steps[0].usage, run.steps[1].usage) == ("tools", Usage(), USAGE)
    assert streamed_calls(bench) == {0: ("input", "1+1"), 1: ("arguments", '{"city":"Rome"}')}


def streamed_calls(bench: Bench) -> dict[int, tuple[str, str]]:
    """What a reader adds up from the deltas of each call."""
    found: dict[int, tuple[str, str]] = {}
    for delta in bench.deltas():
        for call in delta.get("step_details", {}).get("tool_calls", ()):
            name = "input" if call["type"] == "code_interpreter" else "arguments"
            before = found.get(call["index"], (name, ""))[1]
            found[call["index"]] = (name, before + call[call["type"]][name])
    return found


async def test_call_ids_follow_from_the_step_and_the_place(bench: Bench) -> None:
    """Whatever index the model's server counts from."""
    run = await bench.take(CallPiece(7, "weather", "{}"), End("tool_calls", USAGE))
    assert [call.id for call in run.steps[0].calls] == [derived_id("call", run.steps[0].id, 0)]


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([End("stop")], "empty"),
        ([CallPiece(0, "search", "{}")], "not offered"),
        ([CallPiece(0, "", "{}")], "not offered"),
        ([CallPiece(0, "weather", '{"a"'), End("tool_calls")], "not JSON"),
        ([CallPiece(0, "code_interpreter", '{"code": "1'), End("tool_calls")], "not JSON"),
        ([CallPiece(0, "code_interpreter", '{"source": ""}'), End("tool_calls")], "no code"),
    ],
)
async def test_a_faulty_reply_is_said_to_be_one(bench: Bench, pieces: list[Piece], why: str) -> None:
    with pytest.raises(FaultyReply, match=why):
        await bench.take(*pieces)


async def test_calls_that_may_not_be_parallel_are_one(bench: Bench) -> None:
    run = bench.ledger.run
    bench.ledger.run = run.evolve(settings=run.settings.evolve(parallel_tool_calls=False))
    more = [CallPiece(1, "weather", '{"a'), CallPiece(0, "", "}"), CallPiece(1, "", '":1}')]
    run = await bench.take(CallPiece(0, "weather", "{"), *more, End("tool_calls", USAGE))
    assert [call.input for call in run.steps[0].calls] == ["{}"]
    assert streamed_calls(bench) == {0: ("arguments", "{}")}


async def test_a_call_without_arguments_has_none(bench: Bench) -> None:
    run = await bench.take(CallPiece(0, "weather", ""), End("tool_calls", USAGE))
    assert (run.steps[0].calls[0].input, run.status) == ("{}", "requires_action")


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([Text("Hi"), End("length", USAGE)], "max_completion_tokens"),
        ([Text("Hi"), End("content_filter", USAGE)], "content_filter"),
        ([End("length", USAGE)], "max_completion_tokens"),
        ([CallPiece(0, "weather", '{"a"'), End("length", USAGE)], "max_completion_tokens"),
    ],
)
async def test_a_reply_that_was_cut_leaves_the_run_incomplete(
    bench: Bench, pieces: list[Piece], reason: str
) -> None:
    run = await bench.take(*pieces)
    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.incomplete_reason) == ("incomplete", reason)
    assert run.step is None


async def test_a_cancellation_is_noticed_at_the_next_boundary(bench: Bench) -> None:
    await bench.take(Text("H"))
    run = bench.ledger.run
    await bench.runs.change(run, lambda r: advance(r, CANCELLED))
    with pytest.raises(Cancelled):
        await bench.take(CallPiece(0, "weather", "{}"))


async def test_a_former_owner_is_fenced_and_writes_nothing(bench: Bench) -> None:
    await bench.take(Text("H"))
    run = bench.ledger.run
    taken, _ = await bench.runs.change(run, lambda r: advance(r, FACTS["taken over"]))
    with pytest.raises(Fenced):
        await bench.take(Text("i"), End("stop", USAGE))
    assert await bench.runs.get(run.id) == taken


async def test_a_message_begins_with_the_images_of_the_code_before_it(bench: Bench) -> None:
    await bench.take(CallPiece(0, "code_interpreter", '{"code": "plot()"}'), End("tool_calls", USAGE))
    call = bench.ledger.run.steps[-1].calls[0]
    outputs = ({"type": "image", "image": {"file_id": "file-1"}},)
    files = ({"path": "out.csv", "file_id": "file-2"},)
    answered = f.ToolAnswered(call.id, "", NOW, outputs, files)
    run, _ = await bench.runs.change(bench.ledger.run, lambda run: after(run, answered, CLAIMED))
    ledger = Ledger(run, bench.runs, bench.messages, bench.publisher)
    bench.publisher.frames.clear()
    draft = Draft(ledger, Deltas(bench.publisher), {})
    for piece in (Text("See "), Text("sandbox:/mnt/data/out.csv"), End("stop", USAGE)):
        await draft.take(piece)
    image = {"type": "image_file", "image_file": {"file_id": "file-1"}}
    first, *texts = [delta["content"][0] for delta in bench.deltas()]
    assert first == {"index": 0, **image}
    assert {text["index"] for text in texts} == {1}
    stored = await bench.messages.get("thread_1", ledger.run.steps[-1].message_id or "")
    assert stored is not None
    assert stored["content"][0] == image
    assert stored["content"][1]["text"]["annotations"][0]["file_path"] == {"file_id": "file-2"}
    assert stored["attachments"] == [{"file_id": "file-2", "tools": [{"type": "code_interpreter"}]}]


SEARCH: Json = {"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 0.5}}}
MARKER = "【4:0†a.txt】"
SOURCE = {"file_id": "file-1", "quote": "The sky is blue."}


@pytest.fixture
async def searching(bench: Bench) -> Bench:
    """A run that may search, whose model knows one marker."""
    resources = {"file_search": {"vector_store_ids": ["vs_1"]}}
    settings = bench.ledger.run.settings.evolve(tools=(*TOOLS, SEARCH), tool_resources=resources)
    bench.ledger.run = bench.ledger.run.evolve(settings=settings)
    bench.draft = Draft(bench.ledger, Deltas(bench.publisher), {}, {MARKER: SOURCE})
    return bench


async def test_a_search_is_called_with_its_queries_and_none_of_them_is_streamed(searching: Bench) -> None:
    pieces: list[Piece] = [
        CallPiece(0, "file_search", ""),
        CallPiece(0, "", '{"queries": ["sky"'),
        CallPiece(0, "", "]}"),
    ]
    run = await searching.take(*pieces, CallPiece(1, "file_search", '{"query": "sea"}'), End("tool_calls"))
    first, second = run.steps[0].calls
    assert (run.phase, first.type, first.input, second.input) == (
        "tools",
        "file_search",
        '["sky"]',
        '["sea"]',
    )
    assert (first.place, second.place) == (5, 6)
    options = {"ranker": "default_2024_08_21", "score_threshold": 0.5}
    assert [delta["step_details"]["tool_calls"] for delta in searching.deltas()] == [
        [
            {
                "index": index,
                "id": call.id,
                "type": "file_search",
                "file_search": {"ranking_options": options, "results": []},
            }
        ]
        for index, call in enumerate((first, second))
    ]


async def test_a_search_without_anything_to_search_leads_to_the_next_turn(searching: Bench) -> None:
    settings = searching.ledger.run.settings.evolve(tool_resources={})
    searching.ledger.run = searching.ledger.run.evolve(settings=settings)
    run = await searching.take(CallPiece(0, "file_search", '{"queries": ["sky"]}'), End("tool_calls", USAGE))
    assert (run.phase, run.steps[0].status) == ("runnable", "completed")


@pytest.mark.parametrize(
    "said", [f"😀 Blue{MARKER}【4:9†a.txt】, see 【", f"{MARKER}", f"{MARKER}{MARKER}.【4:0"]
)
async def test_citations_are_streamed_as_they_are_stored(searching: Bench, said: str) -> None:
    run = await searching.take(*map(Text, said), End("stop", USAGE))
    part = run.steps[0].content[0]["text"]
    streamed = [delta["content"][0]["text"] for delta in searching.deltas()]
    assert "".join(each["value"] for each in streamed) == part["value"] == said.replace("【4:9†a.txt】", "")
    told = [each for text in streamed for each in text.get("annotations", ())]
    assert told == [{"index": n, **each} for n, each in enumerate(part["annotations"])]
    for each in part["annotations"]:
        assert part["value"][each["start_index"] : each["end_index"]] == MARKER
        assert each["file_citation"] == SOURCE
    stored = await searching.messages.get("thread_1", run.steps[0].message_id or "")
    assert stored is not None
    assert stored["content"][0]["text"] == part


async def test_a_marker_is_complete_before_a_call_begins(searching: Bench) -> None:
    pieces: list[Piece] = [Text("Blue【"), CallPiece(0, "weather", "{}"), End("tool_calls", USAGE)]
    run = await searching.take(*pieces)
    assert run.steps[0].content[0]["text"]["value"] == "Blue【"


async def test_a_reply_of_nothing_but_made_up_markers_is_empty(searching: Bench) -> None:
    with pytest.raises(FaultyReply, match="empty"):
        await searching.take(Text("【7:0†x】"), End("stop", USAGE))
    assert searching.told == []
