"""Keys as text, what a caller says beside its key, and how long a limit says to wait."""

import pytest
from pydantic import ValidationError

from services.gateway.attempt import Attempt
from services.gateway.auth import Key, Limits
from services.gateway.keys import fingerprint, kid_of, new_key
from services.gateway.limits import duration, estimated_tokens, headers_of, is_for_model
from services.gateway.settings import Settings
from services.gateway.stores.usage import Window
from shared.errors import Forbidden, Unauthorized


def test_a_key_names_itself_and_hides_the_rest() -> None:
    kid, key = new_key()
    assert key.startswith(f"sk-tm-{kid}-")
    assert kid_of(key) == kid
    assert len(fingerprint(key, "pepper")) == 64
    assert fingerprint(key, "pepper") != fingerprint(key, "salt")
    assert new_key()[1] != key


@pytest.mark.parametrize("text", ["", "sk-tm-", "sk-proj-1", "sk-tm-short-x", f"sk-tm-{'ä' * 12}-{'b' * 43}"])
def test_other_text_has_no_kid(text: str) -> None:
    assert kid_of(text) is None


def test_what_is_said_beside_the_key_must_be_so() -> None:
    key = Key("kid", "a")
    key.require_same(None, None)
    key.require_same("org-threadmill", "a")
    for said, code in (
        (("org-else", None), "mismatched_organization"),
        ((None, "b"), "mismatched_project"),
    ):
        with pytest.raises(Unauthorized) as caught:
            key.require_same(*said)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("scopes", "method", "allowed"),
    [
        ({"read"}, "GET", True),
        ({"read"}, "POST", False),
        ({"write"}, "DELETE", True),
        ({"write"}, "GET", False),
        ({"admin"}, "GET", True),
        ({"admin"}, "POST", True),
    ],
)
def test_reading_and_writing_are_scopes_of_their_own(scopes: set[str], method: str, allowed: bool) -> None:
    key = Key("kid", "a", frozenset(scopes))
    if allowed:
        key.require_scope(method)
    else:
        with pytest.raises(Forbidden, match="Missing scopes"):
            key.require_scope(method)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_nobody_is_let_in_without_a_key_from_outside(host: str) -> None:
    with pytest.raises(ValidationError, match="THREADMILL_API_KEY"):
        Settings.model_validate({"host": host})
    for name in ("api_key", "key_pepper"):
        Settings.model_validate({"host": host, name: "x"})


def test_tries_of_one_request_give_the_same_ids() -> None:
    first, second, other = Attempt("a"), Attempt("a", again=True), Attempt("b")
    assert [first.new_id("msg") for _ in range(3)] == [second.new_id("msg") for _ in range(3)]
    assert first.first_id("run") == second.new_id("run")
    assert other.new_id("run") != first.first_id("run")
    assert Attempt().new_id("run") != Attempt().new_id("run")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0124, "13ms"),
        (1, "1s"),
        (7.315, "7.315s"),
        (59.9996, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
    ],
)
def test_waits_are_written_as_the_api_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_only_what_a_model_will_read_costs_tokens() -> None:
    counted = ("/v1/threads", "/threads/runs", "/v1/threads/thread_1/messages", "/v1/threads/thread_1/runs")
    others = ("/v1/assistants", "/v1/threads/thread_1", "/v1/threads/thread_1/runs/run_1/cancel")
    assert all(is_for_model(path) for path in counted)
    assert not any(is_for_model(path) for path in others)
    assert estimated_tokens("äöüß!".encode()) == 2


def test_only_limits_that_are_set_are_told() -> None:
    key = Key("kid", "a", limits=Limits(tokens_per_minute=100))
    told = headers_of(key, Window(True, requests=3, tokens=120, until=1010.0), 1000.0)
    assert told == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "10s",
    }
