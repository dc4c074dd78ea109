"""What a run's diagnosis says in each situation that the rules tell apart."""

import pytest

from services.gateway.diagnosis import diagnosis, lines, topic_awaited
from shared.runs import facts as f
from shared.topics import RUN_COMMANDS, TOOL_REQUESTS_CODE
from tests.unit.run_samples import (
    EXPIRES_AT,
    LEASE_S,
    NOW,
    QUEUED,
    SITUATIONS,
    STOPPING,
    TOOLS,
    USER,
    WRITING,
    after,
    of_epoch,
)


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_situation_has_words_and_says_what_comes_next(name: str) -> None:
    run = SITUATIONS[name]
    found = diagnosis(run, NOW)
    assert found["summary"].endswith(".")
    assert (found["next"] is None) is run.ended
    assert (found["owner"] is None) is (run.owner is None)
    assert [call["id"] for call in found["calls_awaited"]] == [call.id for call in run.awaited]
    assert all(line.strip() for line in lines(found, NOW))


def test_an_owner_that_is_silent_is_told_as_lost() -> None:
    alive, lost = diagnosis(WRITING, NOW + 1), diagnosis(WRITING, NOW + LEASE_S + 5)
    assert alive["summary"] == "a works on model turn 1: the model writes."
    assert alive["owner"] == {"name": "a", "lease_until": NOW + LEASE_S, "lapsed": False}
    assert lost["summary"] == "a had the run and has been silent: its lease lapsed 5 s ago."
    assert lost["next"] == {"at": NOW + LEASE_S, "what": "another orchestrator takes the run over"}


def test_a_tool_that_does_not_answer_is_named_with_how_often_it_was_asked() -> None:
    run = after(TOOLS, f.Rung(NOW + 5), f.Rung(NOW + 15))
    found = diagnosis(run, NOW + 20)
    assert "waits for 20 s for code_interpreter (c1) and code_interpreter (c2)" in found["summary"]
    assert "The request was repeated 2 times." in found["summary"]
    assert [call["repeated"] for call in found["calls_awaited"]] == [2, 2]
    assert found["next"] == {"at": run.wake_at, "what": "the request is sent again"}
    assert topic_awaited(run) is TOOL_REQUESTS_CODE


def test_who_is_to_act_is_said() -> None:
    user = diagnosis(USER, NOW)
    assert user["summary"] == "The run waits for its client to submit outputs of weather."
    assert user["next"] == {"at": EXPIRES_AT, "what": "the run expires"}
    assert "is to let go of the model" in diagnosis(STOPPING, NOW)["summary"]
    assert topic_awaited(QUEUED) is RUN_COMMANDS
    assert "at capacity, or none is there" in diagnosis(QUEUED, NOW + 60)["summary"]
    assert topic_awaited(USER) is None


def test_an_end_says_why_and_what_was_lost_on_the_way() -> None:
    again = after(WRITING, f.Claimed("b", NOW + LEASE_S, LEASE_S))
    failed = f.Failed(0, NOW + 20, "rate_limit_exceeded", "Slow down.")
    run = after(again, of_epoch(failed, again.epoch), f.Settled(NOW + 21))
    found = diagnosis(run, NOW + 22)
    assert found["summary"] == "The run ended as failed. rate_limit_exceeded: Slow down."
    assert found["last_error"] == {"code": "rate_limit_exceeded", "message": "Slow down."}
    assert (found["take_overs"], found["lost_attempts"][0]["step_id"]) == (1, WRITING.steps[0].id)
    assert any("rate_limit_exceeded: Slow down." in line for line in lines(found, NOW + 22))
