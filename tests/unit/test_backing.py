"""Which Kafka and which MongoDB the tests take: the given one, else that of a local image, else none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests import backing
from tests.daemon import lacking


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a session; afterwards all is as it was."""
    for name in ("TEST_KAFKA", "TEST_MONGO", "TEST_CONTAINERS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("kafka", "mongo"):
        monkeypatch.setattr(backing, name, getattr(backing, name).__wrapped__)
        monkeypatch.setattr(backing, f"{name}_container", started)


@contextmanager
def started(service: dict[str, Any]) -> Iterator[str]:
    yield f"a container of {service['image']}"


def have(monkeypatch: pytest.MonkeyPatch, *images: str) -> None:
    monkeypatch.setattr(backing, "lacking", lambda image: "" if image.partition(":")[0] in images else "none")


def test_an_address_comes_before_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "apache/kafka", "mongo")
    monkeypatch.setenv("TEST_KAFKA", "kafka.example:9092")
    monkeypatch.setenv("TEST_MONGO", "mongodb://mongo.example")
    assert (backing.kafka(), backing.mongo()) == ("kafka.example:9092", "mongodb://mongo.example")


def test_an_image_that_is_here_is_used_and_the_other_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "apache/kafka")
    found = backing.kafka()
    assert found is not None
    assert found.startswith("a container of apache/kafka:")
    assert backing.mongo() is None


def test_containers_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "apache/kafka", "mongo")
    monkeypatch.setenv("TEST_CONTAINERS", "no")
    assert (backing.kafka(), backing.mongo()) == (None, None)


def test_without_a_daemon_everything_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert lacking("apache/kafka") == "no Docker daemon answers"
    assert (backing.kafka(), backing.mongo()) == (None, None)
