"""The commands of an operator, as processes: topics, and what the doctor says of good and bad deployments."""

import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.operate.access import KAFKA, kafka_rules, mongo_roles
from shared import topics
from tests.model_server import ModelServer
from tests.processes import beside_python, free_port

SERVICES = ("gateway", "run_orchestrator", "tool_code")


@pytest.fixture
def env(kafka_bootstrap: str, mongo_url: str) -> Iterator[dict[str, str]]:
    """The settings of a deployment whose parts are all there, but for the topics."""
    model = ModelServer()
    model.start()
    yield {
        "THREADMILL_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "THREADMILL_MONGO_URL": mongo_url,
        "THREADMILL_MONGO_DATABASE": f"test_{uuid4().hex[:8]}",
        "THREADMILL_TOPIC_PREFIX": f"t{uuid4().hex[:8]}.",
        "THREADMILL_CREATE_TOPICS": "false",
        "THREADMILL_CALL_SECRET": "a secret of the tests",
        "THREADMILL_MODEL_URL": model.url,
    }
    model.stop()


def threadmill(*arguments: str, env: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit code, and the lines on standard output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THREADMILL_")}
    command = [beside_python("python"), "-m", "deploy.local", *arguments]
    done = subprocess.run(
        command, env={**kept, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_the_doctor_misses_topics_until_they_are_made(env: dict[str, str]) -> None:
    code, lines = threadmill("doctor", *_only("run_orchestrator"), env=env)
    assert code == 1
    assert [line for line in lines if line.startswith("BAD")] == [
        "BAD  topics: missing: "
        + ", ".join(sorted(env["THREADMILL_TOPIC_PREFIX"] + topic.name for topic in topics.ALL))
        + "; run: threadmill topics create"
    ]
    assert threadmill("topics", "create", env=env)[0] == 0
    code, lines = threadmill("doctor", *_only("run_orchestrator"), env=env)
    assert code == 0, lines
    assert f"ok   topics: all {len(topics.ALL)} are there" in lines


def test_the_doctor_names_all_that_is_wrong_in_a_line_each(env: dict[str, str]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    env |= {
        "THREADMILL_KAFKA_BOOTSTRAP": nobody,
        "THREADMILL_MONGO_URL": f"mongodb://{nobody}/?serverSelectionTimeoutMS=500",
        "THREADMILL_MODEL_URL": f"http://{nobody}/v1",
        "THREADMILL_HOST": "0.0.0.0",
        "THREADMILL_SANDBOX": "docker",
        "THREADMILL_SANDBOX_IMAGE": "threadmill/there-is-no-such-image",
    }
    code, lines = threadmill("doctor", "--probe", f"http://{nobody}", env=env)
    assert code == 1
    bad = [line.removeprefix("BAD  ").partition(":")[0] for line in lines if line.startswith("BAD")]
    model = "model at http"
    assert bad == ["settings of gateway", "Kafka at 127.0.0.1", "MongoDB", model, "sandbox", "http"]


def test_secrets_are_not_in_what_the_doctor_says(env: dict[str, str]) -> None:
    env |= {
        "THREADMILL_MONGO_URL": f"mongodb://user:hush@127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
    }
    _, lines = threadmill("doctor", *_only("run_orchestrator"), env=env)
    assert "hush" not in "\n".join(lines)
    assert env["THREADMILL_CALL_SECRET"] not in "\n".join(lines)


def test_every_topic_may_be_written_and_read_by_somebody() -> None:
    written = {topic for access in KAFKA.values() for topic in access.writes}
    read = {topic for access in KAFKA.values() for topic in access.reads}
    assert written == set(topics.ALL)
    assert read == set(topics.ALL) - {topics.THREAD_EVENTS}, "the feed is for others"
    assert {topic for access in KAFKA.values() for topic in access.sets_aside} == set(topics.WORK)
    assert any("x.run-commands.v1.dead" in rule for rule in kafka_rules("x."))


def test_the_code_workers_role_reaches_no_messages_and_no_keys() -> None:
    roles = {role["createRole"]: role for role in mongo_roles("threadmill")}
    collections = {p["resource"]["collection"] for p in roles["threadmill-tool-code"]["privileges"]}
    assert not collections & {"", "messages", "runs", "api_keys", "threads"}


def _only(service: str) -> tuple[str, str]:
    return ("--service", service)
