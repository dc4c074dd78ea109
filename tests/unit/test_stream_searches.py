"""What a stream tells of a search."""

from services.gateway.stream.sequence import Sequence
from tests.unit.stream_history import with_search


def test_tells_the_results_of_a_search_in_one_delta_before_its_step_ends() -> None:
    history, sequence = with_search(), Sequence("run_1", after=0)
    pairs = [pair for frame in history.frames for pair in sequence.take(frame)]
    steps = [(name, data) for name, data in pairs if name.startswith("thread.run.step.")]
    *_, (before, delta), (last, step) = steps[:6]
    assert (before, last) == ("thread.run.step.delta", "thread.run.step.completed")
    (call,) = delta["delta"]["step_details"]["tool_calls"]
    assert call["index"] == 0
    assert "id" not in call
    first, second = call["file_search"]["results"]
    assert first == {"index": 0, "file_id": "file-1", "file_name": "1", "score": 0.9, "attributes": {}}
    assert second["index"] == 1
    found = step["step_details"]["tool_calls"][0]["file_search"]
    assert found["ranking_options"] == {"ranker": "default_2024_08_21", "score_threshold": 0.5}
    assert [each["file_id"] for each in found["results"]] == ["file-1", "file-2"]
