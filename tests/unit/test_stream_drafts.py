"""What a stream shows of a draft that was withdrawn."""

import pytest

from services.gateway.stream.sequence import Sequence
from tests.unit.stream_history import taken_over


@pytest.mark.parametrize("heard", [0, 1, 2])
def test_a_withdrawn_draft_ends_with_what_was_heard_of_it(heard: int) -> None:
    """It was never stored, but SDKs take its last part out of the closing message."""
    history = taken_over()
    drafted = [frame for frame in history.frames if frame.n and frame.epoch == 1]
    lost = drafted[heard:]
    sequence = Sequence("run_1", after=0)
    pairs = [pair for frame in history.frames if frame not in lost for pair in sequence.take(frame)]
    [closed] = [data for name, data in pairs if name == "thread.message.incomplete"]
    told_of_it = [data for name, data in pairs if name.endswith("delta") and data["id"] == closed["id"]]
    assert len(told_of_it) == heard
    text = "".join(data["delta"]["content"][0]["text"]["value"] for data in told_of_it)
    assert closed["content"] == (
        [{"type": "text", "text": {"value": text, "annotations": []}}] if heard else []
    )
