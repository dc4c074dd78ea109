"""What can be seen of a deployment from outside: its traces, its metrics, and none of its secrets."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.background import BackgroundStack, running
from deploy.local.programs import Model
from deploy.local.stack import Options
from shared import topics
from tests.e2e.api import Api, Json
from tests.e2e.conftest import QUICK
from tests.eventually import eventually
from tests.model_script import call, code, fail, say
from tests.model_server import ModelServer
from tests.processes import free_port
from tests.spans import Collector, Span, collecting

PREFIX = f"test-{uuid4().hex[:8]}."
SECRETS = {name: f"{name}-{secrets.token_hex(16)}" for name in ("api", "model", "pepper", "call")}
SAID = f"words-of-a-user-{secrets.token_hex(8)}"
CLIENT_TRACE = secrets.token_hex(16)
CODE = {"type": "code_interpreter"}
UNREADABLE = b"no JSON"


@dataclass
class Observed:
    stack: BackgroundStack
    model: ModelServer
    collector: Collector
    metrics_url: str
    log: Path
    run: Json

    def metrics(self, service: str) -> dict[tuple[str, ...], float]:
        """Every sample: its name and the values of its labels, which are sorted by name, and its number."""
        url = self.metrics_url if service == "gateway" else f"{self.stack.url(service)}/metrics"
        families = text_string_to_metric_families(httpx.get(url, timeout=60).raise_for_status().text)
        samples = [sample for family in families for sample in family.samples]
        return {(s.name, *(s.labels[name] for name in sorted(s.labels))): s.value for s in samples}

    def span(self, name: str) -> Span:
        spans = self.collector.of_trace(CLIENT_TRACE).values()
        return next(span for span in spans if span.name == name)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, kafka_bootstrap: str) -> Iterator[Observed]:
    """After a run with a code call that was traced, one that the model refused, and an unreadable command."""
    folder = tmp_path_factory.mktemp("observed")
    log, port, model = folder / "log", free_port(), ModelServer()
    model.start()
    with collecting() as collector, log.open("a") as output:
        options = Options(
            data=folder / "data",
            kafka=kafka_bootstrap,
            model=Model(url=model.url, api_key=SECRETS["model"]),
            api_key=SECRETS["api"],
            env={
                **QUICK,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "THREADMILL_CALL_SECRET": SECRETS["call"],
                "THREADMILL_KEY_PEPPER": SECRETS["pepper"],
                "THREADMILL_LOG_LEVEL": "debug",
                "THREADMILL_METRICS_PORT": str(port),
                "THREADMILL_SWEEP_S": "60",  # what a sweeper does first has another parent in the trace
                "THREADMILL_TOPIC_PREFIX": PREFIX,
                "THREADMILL_TRACES_URL": collector.url,
            },
        )
        with running(options, lambda name, line: print(name, line, file=output, flush=True)) as stack:
            run = asyncio.run(_use(stack, model, kafka_bootstrap))
            yield Observed(stack, model, collector, f"http://127.0.0.1:{port}/metrics", log, run)
    model.stop()


async def _use(stack: BackgroundStack, model: ModelServer, bootstrap: str) -> Json:
    model.script(call(code(f"print('{SAID}', 6 * 7)")), say(f"It is 42, {SAID}."))
    model.script(fail(401, f"Incorrect key: {SECRETS['model']}"), model="refused")
    with Api(stack.base_url, stack.api_key) as api:
        assistant = api.assistant("scripted", tools=[CODE])
        thread = api.thread(SAID)
        api.headers["traceparent"] = f"00-{CLIENT_TRACE}-{secrets.token_hex(8)}-01"
        run = api.run(thread, assistant)
        del api.headers["traceparent"]
        run = await api.completes(run)
        refused = api.run(api.thread(SAID), api.assistant("refused"))
        refused = await api.reaches(refused, "failed")
        assert SECRETS["model"] not in str(refused)
        api.headers["Authorization"] = f"Bearer {SECRETS['pepper']}"
        api.refused("GET", "/threads", status=401)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    await producer.send_and_wait(PREFIX + topics.RUN_COMMANDS.name, UNREADABLE)
    await producer.stop()
    return run


async def _records(bootstrap: str) -> dict[str, list[bytes]]:
    """Everything on the deployment's topics, with headers: topic -> records."""
    kept = [topic.name for topic in topics.ALL]
    kept += [topic.name + topics.DEAD_LETTER_SUFFIX for topic in topics.WORK]
    consumer = AIOKafkaConsumer(*(PREFIX + name for name in kept), bootstrap_servers=bootstrap, group_id=None)
    await consumer.start()
    try:
        parts = consumer.assignment()
        found: dict[str, list[bytes]] = {name: [] for name in kept}
        ends = await consumer.end_offsets(parts)
        await consumer.seek_to_beginning(*parts)
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for part, records in (await consumer.getmany(timeout_ms=200)).items():
                said = [b"%s %s" % (repr(record.headers).encode(), record.value) for record in records]
                found[part.topic.removeprefix(PREFIX)] += said
        return found
    finally:
        await consumer.stop()


EDGES = """\
gateway: POST /threads/{thread_id}/runs -> gateway: send run-commands.v1
gateway: send run-commands.v1 -> run_orchestrator: process run-commands.v1
run_orchestrator: process run-commands.v1 -> run_orchestrator: invoke_agent
run_orchestrator: invoke_agent -> run_orchestrator: chat scripted
run_orchestrator: invoke_agent -> run_orchestrator: send tool-requests.code.v1
run_orchestrator: send tool-requests.code.v1 -> tool_code: process tool-requests.code.v1
tool_code: process tool-requests.code.v1 -> tool_code: execute_tool code_interpreter
tool_code: process tool-requests.code.v1 -> tool_code: send tool-results.v1
tool_code: send tool-results.v1 -> run_orchestrator: process tool-results.v1
run_orchestrator: process tool-results.v1 -> run_orchestrator: invoke_agent
run_orchestrator: invoke_agent -> run_orchestrator: send thread-events.v1"""


async def test_one_trace_goes_through_every_service_and_back(observed: Observed) -> None:
    expected = {tuple(edge.split(" -> ")) for edge in EDGES.splitlines()}

    async def arrived() -> bool:
        return expected <= observed.collector.edges(CLIENT_TRACE)

    try:
        await eventually(arrived)
    except AssertionError:
        found = observed.collector.edges(CLIENT_TRACE)
        assert expected - found == set(), f"but there are {sorted(found - expected)}"


async def test_spans_speak_the_semantic_conventions(observed: Observed) -> None:
    await test_one_trace_goes_through_every_service_and_back(observed)
    chat = observed.span("chat scripted")
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 10
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] > 0
    tool = observed.span("execute_tool code_interpreter")
    assert tool.attributes["gen_ai.tool.call.id"].startswith("call_")
    assert tool.attributes["gen_ai.conversation.id"] == observed.run["thread_id"]
    sent = observed.span(f"process {PREFIX}tool-requests.code.v1")
    assert sent.attributes["messaging.system"] == "kafka"
    assert sent.attributes["messaging.destination.name"] == f"{PREFIX}tool-requests.code.v1"
    http = observed.span("POST /threads/{thread_id}/runs")
    assert http.attributes["http.response.status_code"] == 200


async def test_the_models_server_is_told_of_the_trace(observed: Observed) -> None:
    asked = [request for request in observed.model.requests if request.model == "scripted"]
    assert [request.headers["traceparent"].split("-")[1] for request in asked] == [CLIENT_TRACE] * 2


async def test_the_feed_carries_the_trace(observed: Observed, kafka_bootstrap: str) -> None:
    feed = (await _records(kafka_bootstrap))[topics.THREAD_EVENTS.name]
    of_the_run = [record for record in feed if observed.run["id"].encode() in record]
    assert of_the_run
    assert all(b"'ce_traceparent', b'00-" + CLIENT_TRACE.encode() in record for record in of_the_run)


async def test_metrics_count_what_happened(observed: Observed) -> None:
    async def counted() -> bool:
        return ("threadmill_dead_letters_total", "run-commands.v1") in observed.metrics("run_orchestrator")

    await eventually(counted)
    orchestrator, tool, gateway = map(observed.metrics, ("run_orchestrator", "tool_code", "gateway"))
    assert orchestrator["threadmill_runs_total", "completed"] == 1
    assert orchestrator["threadmill_runs_total", "failed"] == 1
    assert orchestrator["threadmill_run_queue_seconds_count",] == 2
    assert orchestrator["threadmill_first_token_seconds_count",] == 2
    assert orchestrator["threadmill_model_requests_total", "trouble"] == 1
    assert orchestrator["threadmill_tokens_total", "prompt"] == 20
    assert orchestrator["threadmill_tool_results_total", "accepted"] == 1
    assert orchestrator["threadmill_dead_letters_total", "run-commands.v1"] == 1
    assert orchestrator["threadmill_broker_up",] == 1
    assert tool["threadmill_tool_calls_total", "ok", "code_interpreter"] == 1
    assert tool["threadmill_requests_lag", f"{PREFIX}tool-requests.code.v1"] == 0
    assert sum(value for (name, *_), value in tool.items() if name == "threadmill_sandbox_info") == 1
    assert gateway["threadmill_runs_accepted_total",] == 2
    posted = ("POST", "/threads/{thread_id}/runs", "200")
    assert gateway["threadmill_http_request_seconds_count", *posted] == 2
    await _an_open_stream_is_counted_until_it_ends(observed)  # last, since its run counts, too


async def _an_open_stream_is_counted_until_it_ends(observed: Observed) -> None:
    with Api(observed.stack.base_url, observed.stack.api_key) as api:
        body = {"assistant_id": api.assistant("slow-40")}

        async def streams(n: int) -> bool:
            return observed.metrics("gateway")["threadmill_sse_connections",] == n

        with api.listening(f"/threads/{api.thread('Hello')}/runs", body) as reader:
            await eventually(lambda: streams(1))
            reader.join()
        await eventually(lambda: streams(0))


async def test_no_secret_is_seen_anywhere(observed: Observed, kafka_bootstrap: str) -> None:
    records = await _records(kafka_bootstrap)
    assert records[f"{topics.RUN_COMMANDS.name}.dead"], "the dead letter is looked at, too"
    services = ("gateway", "run_orchestrator", "tool_code")
    places = {
        "logs": observed.log.read_bytes(),
        "traces": b"".join(observed.collector.raw),
        "metrics": repr([observed.metrics(service) for service in services]).encode(),
        **{name: b"".join(found) for name, found in records.items()},
    }
    assert len(places["logs"]) > 1000
    for secret in SECRETS.values():
        assert [place for place, said in places.items() if secret.encode() in said] == []
    for place in ("logs", "traces", "metrics", topics.THREAD_EVENTS.name):
        assert SAID.encode() not in places[place], "what users write is theirs"
