"""Who may do what on Kafka and MongoDB: a principal and a role for each service, no more than it uses."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared import topics as t
from shared.files.gridfs import BUCKET
from shared.topics import Topic

DEAD = t.DEAD_LETTER_SUFFIX


@dataclass(frozen=True)
class Access:
    """``groups`` are prefixes of consumer groups; ``{}`` stands for the deployment's prefix of topics."""

    writes: tuple[Topic, ...]
    reads: tuple[Topic, ...]
    groups: tuple[str, ...] = ()
    sets_aside: tuple[Topic, ...] = ()


KAFKA = {
    "gateway": Access(
        writes=(t.THREAD_EVENTS, t.RUN_COMMANDS, t.CONTROL, t.FILE_COMMANDS, t.TOOL_REQUESTS_RETRIEVAL),
        reads=(t.RUN_STREAM,),
    ),
    "run-orchestrator": Access(
        writes=(
            t.THREAD_EVENTS,
            t.RUN_COMMANDS,
            t.TOOL_REQUESTS_CODE,
            t.TOOL_REQUESTS_RETRIEVAL,
            t.RUN_STREAM,
        ),
        reads=(t.RUN_COMMANDS, t.TOOL_RESULTS, t.CONTROL),
        groups=("{}run-orchestrator",),
        sets_aside=(t.RUN_COMMANDS, t.TOOL_RESULTS),
    ),
    "tool-code": Access(
        writes=(t.TOOL_RESULTS, t.RUN_STREAM),
        reads=(t.TOOL_REQUESTS_CODE, t.CONTROL),
        groups=("tool-code",),
        sets_aside=(t.TOOL_REQUESTS_CODE,),
    ),
    "tool-retrieval": Access(
        writes=(t.TOOL_RESULTS, t.RUN_STREAM, t.THREAD_EVENTS, t.FILE_COMMANDS),
        reads=(t.TOOL_REQUESTS_RETRIEVAL, t.FILE_COMMANDS, t.CONTROL),
        groups=("tool-retrieval",),
        sets_aside=(t.TOOL_REQUESTS_RETRIEVAL, t.FILE_COMMANDS),
    ),
}


def kafka_rules(prefix: str, principal: str = "threadmill-") -> Iterator[list[str]]:
    """Yield the arguments of ``kafka-acls.sh``, one list for each rule.

    With them the services need ``THREADMILL_CREATE_TOPICS=false``: whoever runs ``threadmill topics
    create`` may create, they may not.
    """
    for service, access in KAFKA.items():
        user = ["--add", "--allow-principal", f"User:{principal}{service}"]
        for operation, wanted in (("Write", access.writes), ("Read", access.reads)):
            names = [prefix + topic.name for topic in wanted]
            if operation == "Write":
                names += [prefix + topic.name + DEAD for topic in access.sets_aside]
            for name in names:
                yield [*user, "--operation", operation, "--operation", "Describe", "--topic", name]
        for group in access.groups:
            pattern = ["--resource-pattern-type", "prefixed", "--group", group.format(prefix)]
            yield [*user, "--operation", "Read", *pattern]


def as_script(prefix: str) -> str:
    """The rules as commands, for the tool that comes with Kafka."""
    tool = "kafka-acls.sh --bootstrap-server $KAFKA --command-config admin.properties"
    return "\n".join(f"{tool} {shlex.join(rule)}" for rule in kafka_rules(prefix)) + "\n"


FILES = ("files", f"{BUCKET}.files", f"{BUCKET}.chunks")
# Collections that a service reaches, and no other.
MONGO: dict[str, tuple[str, ...]] = {
    "gateway": (
        "api_keys",
        "assistants",
        *FILES,
        "gateway_slots",
        "messages",
        "parsed_files",
        "parsed_texts",
        "requests",
        "reserved_runs",
        "runs",
        "search_results",
        "threads",
        "usage_windows",
        "vector_store_file_batches",
        "vector_store_files",
        "vector_stores",
    ),
    "run-orchestrator": (
        "brokers",
        *FILES,
        "messages",
        "runs",
        "search_results",
        "vector_store_files",
        "vector_stores",
    ),
    "tool-code": ("code_sessions", *FILES, "tool_executions"),
    "tool-retrieval": (
        *FILES,
        "index_tables",
        "parsed_files",
        "parsed_texts",
        "search_results",
        "tool_executions",
        "vector_store_files",
        "vector_stores",
    ),
}
# Of them, those that a service only reads.
ONLY_READ: dict[str, tuple[str, ...]] = {
    "run-orchestrator": (*FILES, "search_results", "vector_store_files"),
    "tool-retrieval": FILES,
}
READ = ("find",)
ACTIONS = (*READ, "insert", "update", "remove", "createIndex", "createCollection", "listIndexes")


def mongo_roles(database: str) -> list[dict[str, Any]]:
    """Return one ``createRole`` command for each service."""
    return [
        {
            "createRole": f"threadmill-{service}",
            "privileges": [
                {"resource": {"db": database, "collection": name}, "actions": list(_actions(service, name))}
                for name in collections
            ],
            "roles": [],
        }
        for service, collections in MONGO.items()
    ]


def _actions(service: str, collection: str) -> tuple[str, ...]:
    return READ if collection in ONLY_READ.get(service, ()) else ACTIONS


def as_mongosh(database: str) -> str:
    commands = [f"db.runCommand({json.dumps(role)})" for role in mongo_roles(database)]
    return "\n".join([f"use {database}", *commands]) + "\n"


def script(store: str, name: str) -> str:
    return as_script(name) if store == "kafka" else as_mongosh(name)
