"""Every number that Prometheus reads from the services, named once. Counting costs a microsecond.

Labels have few values, all of them ours: never what a client may choose. A service shows all
of these; those that it has no part in stay at nothing.
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

__all__ = ["CONTENT_TYPE_LATEST", "generate_latest", "start_http_server"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

HTTP = Histogram(
    "threadmill_http_request_seconds",
    "Time to the end of the answer; an event stream counts until it is closed.",
    ("method", "route", "status"),
    buckets=SECONDS,
)
STREAMS = Gauge("threadmill_sse_connections", "Event streams that are open now.")

RUNS_ACCEPTED = Counter("threadmill_runs_accepted_total", "Runs that clients made.")
RUNS = Counter("threadmill_runs_total", "Runs that ended, by their last status.", ("status",))
RUN_SECONDS = Histogram(
    "threadmill_run_seconds", "From the creation of a run to its end.", ("status",), buckets=SECONDS
)
QUEUE_SECONDS = Histogram(
    "threadmill_run_queue_seconds", "From queued to in progress: how long nobody was free.", buckets=SECONDS
)
FIRST_TOKEN_SECONDS = Histogram(
    "threadmill_first_token_seconds",
    "From asking the model to its first piece.",
    buckets=SECONDS,
)
MODEL_REQUESTS = Counter(
    "threadmill_model_requests_total",
    "Requests to the model's server; trouble: refused, silent, broken off.",
    ("outcome",),
)
TOKENS = Counter("threadmill_tokens_total", "Tokens of the runs that ended.", ("kind",))
TURNS = Gauge("threadmill_turns_in_flight", "Model turns that this process works on.")
TAKE_OVERS = Counter("threadmill_lease_takeovers_total", "Runs taken from an owner whose lease lapsed.")
FENCED = Counter(
    "threadmill_fenced_writes_total", "Writes refused because somebody else owns the work by now.", ("what",)
)
OVERDUE = Gauge("threadmill_overdue_runs", "Active runs that the last sweep found waiting past their time.")
UNPUBLISHED = Gauge(
    "threadmill_unpublished", "What the last sweep found that the broker has not been told.", ("what",)
)

TOOL_CALLS = Counter("threadmill_tool_calls_total", "Tool calls executed here.", ("tool", "outcome"))
TOOL_SECONDS = Histogram("threadmill_tool_call_seconds", "Time of one tool call.", ("tool",), buckets=SECONDS)
TOOL_RESULTS = Counter(
    "threadmill_tool_results_total", "Results that came back: accepted, repeated or refused.", ("outcome",)
)
LAG = Gauge("threadmill_requests_lag", "Records in this worker's partitions that are not done.", ("topic",))
SANDBOX = Gauge("threadmill_sandbox_info", "1 for the sandbox that code runs in, or none.", ("level",))

DEAD_LETTERS = Counter("threadmill_dead_letters_total", "Records that can never be processed.", ("topic",))
BROKER = Gauge("threadmill_broker_up", "1 while the broker answers this process.")
NOT_TOLD = Counter("threadmill_undelivered_total", "Records that the broker did not take.", ("topic",))
