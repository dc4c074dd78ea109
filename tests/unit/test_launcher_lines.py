"""How the log lines of many processes become one stream."""

import json

import pytest

from deploy.local.lines import LAUNCHER, Renderer


def entry(level: str, message: str = "run ended", **fields: object) -> str:
    known = {"at": "2026-01-02T03:04:05.678+00:00", "level": level, "service": "gateway", "logger": "x"}
    return json.dumps({**known, "message": message, **fields})


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(("gateway", "store"), level="warning")


def test_a_json_line_is_made_readable(renderer: Renderer) -> None:
    shown = renderer.render("store", entry("error", run_id="run_1", took_ms=12, reason="no way"))

    assert shown is not None
    prefix, _, rest = shown.partition(" | ")
    assert prefix == "store  "
    assert rest[8:] == ' error   run ended run_id=run_1 took_ms=12 reason="no way"'


def test_an_exception_follows_on_its_own_lines(renderer: Renderer) -> None:
    shown = renderer.render("gateway", entry("error", exception="Traceback\n  boom"))

    assert shown is not None
    assert [line.partition(" | ")[2].strip() for line in shown.splitlines()][1:] == ["Traceback", "boom"]


@pytest.mark.parametrize(
    ("service", "raw", "is_shown"),
    [
        ("gateway", entry("info"), False),
        ("gateway", entry("warning"), True),
        (LAUNCHER, entry("info"), True),
        (LAUNCHER, entry("debug"), False),
        ("store", "2026-01-02 03:04:05,678 INFO secantus.server: listening", False),
        ("store", "2026-01-02 03:04:05,678 \x1b[32mINFO\x1b[0m     - listening", False),
        ("store", "2026-01-02 03:04:05,678 ERROR secantus.server: disk full", True),
        ("gateway", "Traceback (most recent call last):", True),
        ("gateway", '{"not": "a log line"}', True),
    ],
)
def test_little_is_shown_by_default(renderer: Renderer, service: str, raw: str, is_shown: bool) -> None:
    assert (renderer.render(service, raw) is not None) == is_shown


def test_plain_lines_are_understood() -> None:
    shown = Renderer(("store",), level="info").render("store", "2026-01-02 03:04:05,678 INFO here: up")

    assert shown == "store | 03:04:05 info    here: up"


def test_json_passes_through_and_the_rest_is_wrapped() -> None:
    renderer = Renderer(("gateway",), level="info", as_json=True)
    raw = entry("info")

    wrapped = renderer.render("gateway", "Traceback (most recent call last):")

    assert renderer.render("gateway", raw) == raw
    assert wrapped is not None
    assert json.loads(wrapped)["message"] == "Traceback (most recent call last):"
    assert json.loads(wrapped)["service"] == "gateway"


def test_colours_are_for_terminals() -> None:
    plain = Renderer(("gateway",), level="info").render("gateway", entry("error"))
    painted = Renderer(("gateway",), level="info", colour=True).render("gateway", entry("error"))

    assert plain is not None
    assert "\x1b" not in plain
    assert painted is not None
    assert "\x1b[31merror" in painted
