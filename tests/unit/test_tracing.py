"""What a sweeper does for a run stays in the run's own trace."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from shared import tracing
from tests.unit.run_samples import QUEUED

CREATED_IN = f"00-{'a' * 32}-{'b' * 16}-01"


def test_what_a_sweeper_does_belongs_to_the_trace_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "_otel", trace)
    monkeypatch.setattr(tracing, "_tracer", TracerProvider().get_tracer("test"))
    with tracing.resumed(QUEUED.evolve(trace=CREATED_IN)):
        assert tracing.traceparent() == CREATED_IN
        with tracing.sending("thread-events.v1", 1):
            assert tracing.traceparent().split("-")[1] == "a" * 32
    with tracing.resumed(QUEUED):
        assert tracing.traceparent() == ""
    assert tracing.traceparent() == ""
