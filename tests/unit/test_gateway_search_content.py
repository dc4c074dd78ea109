"""The text of search results, for those who ask for it."""

import pytest

from services.gateway.search_content import SearchContent
from services.gateway.stream.sequence import Sequence
from shared.runs.model import Json
from shared.runs.views import step_view
from shared.stores.database import Database
from shared.stores.search_results import Search, SearchResultStore
from tests.unit.stream_history import NOW, with_search


@pytest.fixture
async def content(db: Database) -> SearchContent:
    store = SearchResultStore(db)
    found: list[Json] = [{"file_id": f"file-{n}", "text": f"text {n}"} for n in (1, 2)]
    await store.put(Search("call_s", "p", "run_1", "thread_1", ("q",)), found, None, NOW)
    return SearchContent(store)


def results(obj: Json) -> list[list[Json]]:
    details = obj["delta"]["step_details"] if "delta" in obj else obj["step_details"]
    return [call["file_search"]["results"] for call in details["tool_calls"]]


async def test_steps_show_it(content: SearchContent) -> None:
    run = with_search().run
    steps = [step_view(run, step) for step in run.steps]
    searched, message = await content.added(steps)
    assert message is steps[1]
    assert results(searched)[0][0] == {
        "file_id": "file-1",
        "file_name": "1",
        "score": 0.9,
        "attributes": {},
        "content": [{"type": "text", "text": "text 1"}],
    }
    assert results(searched)[1] == []
    assert "content" not in results(steps[0])[0][0]


async def test_a_stream_s_deltas_add_up_with_it(content: SearchContent) -> None:
    shown = [
        (name, await content.streamed(obj))
        for name, obj in Sequence("run_1", after=0).absorb(with_search().run)
    ]
    (delta,) = [obj for name, obj in shown if name == "thread.run.step.delta"]
    assert results(delta)[0][1]["content"] == [{"index": 0, "type": "text", "text": "text 2"}]
    completed = next(obj for name, obj in shown if name == "thread.run.step.completed")
    assert results(completed)[0][1]["content"] == [{"type": "text", "text": "text 2"}]


async def test_a_delta_that_does_not_name_its_call_is_known_by_the_first_one(content: SearchContent) -> None:
    history = with_search()
    sequence = Sequence("run_1", after=0)
    named = [pair for frame in history.frames for pair in sequence.take(frame)]
    shown = [await content.streamed(obj) for name, obj in named if name == "thread.run.step.delta"]
    assert [results(delta) for delta in shown[:2]] == [[[]], [[]]]
    assert results(shown[2])[0][0]["content"][0]["text"] == "text 1"


async def test_what_was_forgotten_is_shown_without_it(db: Database) -> None:
    step = step_view(run := with_search().run, run.steps[0])
    assert await SearchContent(SearchResultStore(db)).added([step]) == [step]
