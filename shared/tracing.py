"""Traces of OpenTelemetry, from the HTTP request through Kafka to the tools and back.

Off unless ``configure`` was given an address: then nothing of OpenTelemetry is imported, and a
span costs a comparison. Names follow the semantic conventions for HTTP, messaging and GenAI,
which still change: they are in this module alone. No content goes into a span.
"""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

from shared.runs.model import Run, Usage
from shared.settings import ServiceSettings
from shared.version import VERSION

Headers: TypeAlias = list[tuple[str, bytes]]

FLUSH_MS = 3_000
TRACEPARENT = "traceparent"
EXTRA = "THREADMILL_TRACES_URL needs the extra tracing: pip install 'threadmill[tracing]'"

_otel: Any = None  # the package opentelemetry.trace; None: tracing is off
_provider: Any = None
_tracer: Any = None


class Span:
    """Something that takes time; nothing at all where tracing is off."""

    __slots__ = ("_span",)

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def set(self, name: str, value: Any) -> None:
        if self._span is not None:
            self._span.set_attribute(name, value)

    def answered(self, route: str, status: int) -> None:
        """An HTTP request was answered; ``route`` is its template."""
        if self._span is not None:
            self._span.update_name(f"{self._span.name} {route}")
            self._span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                self.fail(str(status))

    def heard(self, after_s: float) -> None:
        """The model said its first piece."""
        self.set("gen_ai.response.time_to_first_chunk", after_s)

    def replied(self, reason: str, usage: Usage | None) -> None:
        """The model's reply is complete."""
        if self._span is not None:
            self._span.set_attribute("gen_ai.response.finish_reasons", [reason])
            if usage:
                counts = {"input": usage.prompt_tokens, "output": usage.completion_tokens}
                self._span.set_attributes({f"gen_ai.usage.{k}_tokens": n for k, n in counts.items()})

    def fail(self, kind: str) -> None:
        """It went wrong; ``kind`` names how, and holds no content."""
        if self._span is not None:
            self._span.set_attribute("error.type", kind)
            self._span.set_status(_otel.Status(_otel.StatusCode.ERROR))

    def carrier(self) -> dict[str, str]:
        """The span as a header for an HTTP request that is made in it."""
        return {TRACEPARENT: _traceparent(self._span)} if self._span is not None else {}

    def end(self) -> None:
        if self._span is not None:
            self._span.end()


OFF = Span()
_OFF: AbstractContextManager[Span] = nullcontext(OFF)


def configure(service: str, settings: ServiceSettings) -> None:
    """Send the spans of this process to ``settings.traces_url``, if there is one; exit if it cannot be."""
    global _otel, _provider, _tracer
    if settings.traces_url is None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError:
        sys.exit(EXTRA)
    named = {"service.name": service, "service.namespace": "threadmill", "service.version": VERSION}
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.traces_sample), resource=Resource.create(named)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=str(settings.traces_url))))
    # Not the global one: libraries would add spans of theirs, with exceptions that hold what users wrote.
    _otel, _provider, _tracer = trace, provider, provider.get_tracer("threadmill")


async def flush() -> None:
    """Send what was not sent yet, within ``FLUSH_MS``."""
    if _provider is not None:
        await asyncio.to_thread(_provider.force_flush, FLUSH_MS)


def on() -> bool:
    return _tracer is not None


def request(method: str, path: str, traceparent: str) -> AbstractContextManager[Span]:
    """An HTTP request that is answered here, in the trace that the client began, if it did."""
    if _tracer is None:
        return _OFF
    attributes = {"http.request.method": method, "url.path": path}
    return _current(method, "SERVER", attributes, _remote(traceparent))


def sending(topic: str, count: int) -> AbstractContextManager[Span]:
    """Records on their way to Kafka; ``headers`` inside names this span."""
    if _tracer is None:
        return _OFF
    attributes = {**_messaging(topic, "send"), "messaging.batch.message_count": count}
    return _current(f"send {topic}", "PRODUCER", attributes)


def received(topic: str, group: str, record: Any) -> AbstractContextManager[Span]:
    """A record that is being processed, in the trace of whoever sent it."""
    if _tracer is None:
        return _OFF
    attributes = {
        **_messaging(topic, "process"),
        "messaging.consumer.group.name": group,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    return _current(f"process {topic}", "CONSUMER", attributes, _remote(_sent_with(record.headers)))


@contextmanager
def resumed(run: Run) -> Iterator[None]:
    """What is done for ``run`` here, asked for by nobody, belongs to the trace that it was created in."""
    if _tracer is None:
        yield
        return
    created = _otel.get_current_span(_remote(run.trace))
    with _otel.use_span(created, record_exception=False, set_status_on_exception=False):
        yield


def turn(run: Run, owner: str) -> AbstractContextManager[Span]:
    """One model turn of ``run``; in the trace of the run's creation, if nothing else caused it."""
    if _tracer is None:
        return _OFF
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": run.thread_id,
        "gen_ai.agent.id": run.assistant_id,
        "gen_ai.request.model": run.settings.model,
        "threadmill.run.id": run.id,
        "threadmill.run.turn": run.turn,
        "threadmill.run.epoch": run.epoch,
        "service.instance.id": owner,
    }
    caused = _otel.get_current_span().get_span_context().is_valid
    return _current("invoke_agent", "INTERNAL", attributes, None if caused else _remote(run.trace))


def chat(model: str, server: str) -> Span:
    """A request to the model's server; the caller ends it. It is not the current span: a generator waits."""
    if _tracer is None:
        return OFF
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",  # whose protocol it is
        "gen_ai.request.model": model,
        "gen_ai.request.stream": True,
        "server.address": server,
    }
    return Span(_tracer.start_span(f"chat {model}", kind=_otel.SpanKind.CLIENT, attributes=attributes))


def tool(name: str, call_id: str, thread_id: str) -> AbstractContextManager[Span]:
    """One call of a hosted tool."""
    if _tracer is None:
        return _OFF
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": call_id,
        "gen_ai.conversation.id": thread_id,
    }
    return _current(f"execute_tool {name}", "INTERNAL", attributes)


def headers() -> Headers:
    """The current span, for a record that it sends; none where there is no trace."""
    value = traceparent()
    return [(TRACEPARENT, value.encode())] if value else []


def traceparent() -> str:
    """The current span in W3C's form, to be kept with a document; empty where there is no trace."""
    return "" if _tracer is None else _traceparent(_otel.get_current_span())


def _traceparent(span: Any) -> str:
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _remote(value: str) -> Any:
    """The context of a span elsewhere, as the propagator reads it; a new trace if it is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({TRACEPARENT: value}, Context())


def _sent_with(record_headers: Iterable[tuple[str, bytes]] | None) -> str:
    found = (value for name, value in record_headers or () if name == TRACEPARENT)
    return next(found, b"").decode("ascii", "replace")


def _messaging(topic: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


@contextmanager
def _current(name: str, kind: str, attributes: dict[str, Any], context: Any = None) -> Iterator[Span]:
    span = Span(_tracer.start_span(name, context=context, kind=_otel.SpanKind[kind], attributes=attributes))
    # exceptions are not recorded: their text may hold what users wrote
    with _otel.use_span(span._span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            span.fail(type(error).__name__)
            raise
