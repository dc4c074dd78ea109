"""The map of the pipeline: every Kafka topic, named once.

``.v1`` is the version of the contract; adding an optional field keeps it. The prefix
of a deployment (``THREADMILL_TOPIC_PREFIX``) goes in front of each name.
"""

from dataclasses import dataclass

HOUR_S = 3600
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class Topic:
    name: str
    key: str  # what the records of one partition have in common
    partitions: int
    retention_s: int
    purpose: str
    fixed: bool = False  # each partition has a meaning

    def at_most(self, partitions: int) -> int:
        """Return how many partitions it has where fewer will do."""
        return self.partitions if self.fixed else min(self.partitions, partitions)


THREAD_EVENTS = Topic("thread-events.v1", "thread id", 24, 7 * DAY_S, "public feed of every state change")
RUN_COMMANDS = Topic("run-commands.v1", "thread id", 24, DAY_S, "work for run_orchestrator")
TOOL_REQUESTS_CODE = Topic("tool-requests.code.v1", "thread id", 48, DAY_S, "work for tool_code")
TOOL_REQUESTS_RETRIEVAL = Topic(
    "tool-requests.retrieval.v1", "call id", 48, DAY_S, "searches for tool_retrieval"
)
TOOL_RESULTS = Topic("tool-results.v1", "run id", 24, DAY_S, "what the tools answered")
FILE_COMMANDS = Topic(
    "file-commands.v1", "file id", 24, DAY_S, "files for tool_retrieval to take in or let go"
)
RUN_STREAM = Topic(
    "run-stream.v1", "partition = gateway slot", 64, 600, "frames for open event streams", fixed=True
)
CONTROL = Topic("control.v1", "none", 1, HOUR_S, "told to every replica: cancel")

ALL = (
    THREAD_EVENTS,
    RUN_COMMANDS,
    TOOL_REQUESTS_CODE,
    TOOL_REQUESTS_RETRIEVAL,
    TOOL_RESULTS,
    FILE_COMMANDS,
    RUN_STREAM,
    CONTROL,
)
# each has a dead letter topic
WORK = (RUN_COMMANDS, TOOL_REQUESTS_CODE, TOOL_REQUESTS_RETRIEVAL, TOOL_RESULTS, FILE_COMMANDS)

DEAD_LETTER_SUFFIX = ".dead"  # where a record goes that can never be processed
DEAD_LETTER_PARTITIONS = 6
DEAD_LETTER_RETENTION_S = 14 * DAY_S

TOOL_CODE_GROUP = "tool-code"
ORCHESTRATOR_GROUP = "run-orchestrator"


def group_of(topic: Topic, prefix: str) -> str | None:
    """The consumer group that works on ``topic``; None where there is none of one name.

    >>> group_of(RUN_COMMANDS, "threadmill.")
    'threadmill.run-orchestrator.run-commands.v1'
    """
    if topic in (RUN_COMMANDS, TOOL_RESULTS):
        return f"{prefix}{ORCHESTRATOR_GROUP}.{topic.name}"
    return TOOL_CODE_GROUP if topic == TOOL_REQUESTS_CODE else None
