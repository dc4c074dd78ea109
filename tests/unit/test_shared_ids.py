"""Ids, sequences, waits and tokens."""

import re

import pytest
from pydantic import SecretStr

from services.run_orchestrator.call_token import call_token
from shared.backoff import backoff_s
from shared.ids import derived_id, new_id, new_sequence


@pytest.mark.parametrize("made", [new_id("run"), derived_id("run", "thread_1", 3)], ids=["drawn", "derived"])
def test_an_id_has_the_form_that_clients_know(made: str) -> None:
    assert re.fullmatch(r"run_[A-Za-z0-9]{24}", made)


def test_drawn_ids_differ() -> None:
    assert len({new_id("run") for _ in range(2_000)}) == 2_000


@pytest.mark.parametrize(
    "other",
    [("msg", "run_1", 2), ("step", "run_2", 1), ("step", "run_1", "1", ""), ("step", "run_11"), ("step",)],
)
def test_a_derived_id_follows_from_its_parts_and_no_others(other: tuple[str, object]) -> None:
    assert derived_id("step", "run_1", 1) == derived_id("step", "run_1", 1)
    assert derived_id(*other).partition("_")[2] != derived_id("step", "run_1", 1).partition("_")[2]


def test_derived_ids_stay_the_same_between_versions() -> None:
    """They are in stores and in other back ends: another function would make a second message."""
    assert derived_id("msg", "run_1", 2) == "msg_8wSRLq3e4aKLpUdKebBTBbLk"


def test_sequences_rise_and_fit_into_64_bits() -> None:
    drawn = [new_sequence() for _ in range(1_000)]
    assert drawn[0] >> 12 <= drawn[-1] >> 12
    assert max(drawn) < 2**63
    assert len(set(drawn)) > 900


@pytest.mark.parametrize("attempt", [1, 2, 5, 60, 61, 10_000])
def test_a_wait_lies_between_nothing_and_its_bound(attempt: int) -> None:
    waits = [backoff_s(attempt, first_s=0.5, most_s=8.0) for _ in range(200)]
    bound = min(8.0, 0.5 * 2.0 ** min(attempt - 1, 60))
    assert all(0 <= wait <= bound for wait in waits)
    assert max(waits) - min(waits) > bound / 4, "drawn, so that clients do not come back together"


@pytest.mark.parametrize(("attempt", "first_s", "most_s"), [(0, 1, 1), (-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_wait_that_makes_no_sense_is_refused(attempt: int, first_s: float, most_s: float) -> None:
    with pytest.raises(ValueError, match="attempt"):
        backoff_s(attempt, first_s=first_s, most_s=most_s)


@pytest.mark.parametrize(
    "other", [("s2", "p", "r", "c"), ("s", "p2", "r", "c"), ("s", "p", "r2", "c"), ("s", "p", "r", "c2")]
)
def test_a_token_is_good_for_one_call_under_one_secret(other: tuple[str, str, str, str]) -> None:
    secret, *call = other
    right = call_token(SecretStr("s"), "p", "r", "c")
    assert right == call_token(SecretStr("s"), "p", "r", "c")
    assert call_token(SecretStr(secret), *call) != right
    assert call_token(SecretStr("s"), "p", "rc", "") != call_token(SecretStr("s"), "p", "r", "c")
