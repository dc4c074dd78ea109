"""The rules of a run, one moment after the other: claims, tool calls, cancellation, the end."""

from dataclasses import replace

import pytest

from shared.runs import facts as f
from shared.runs.model import Run, Usage
from shared.runs.rules import (
    CANCEL_S,
    MAX_RINGS,
    MAX_TAKE_OVERS,
    RING_FIRST_S,
    RING_MOST_S,
    UNANSWERED,
    advance,
    answers_by,
    most_rings,
)
from tests.unit.run_samples import (
    ANSWERED,
    CALLING,
    CANCELLED,
    CLAIMED,
    CODE,
    DONE,
    ENDING,
    EXPIRES_AT,
    FACTS,
    FUNCTION,
    LAST_TOOL,
    LEASE_S,
    LLM,
    MIXED,
    NOW,
    QUEUED,
    SITUATIONS,
    STOPPING_WRITING,
    TEXT,
    TOLD,
    TOOLS,
    USAGE,
    USER,
    WRITING,
    after,
    calls_made,
    of_epoch,
)

# -- claims, take-overs, hand-over


def test_a_claim_raises_the_epoch_and_begins_the_lease_and_the_turn() -> None:
    run = after(QUEUED, CLAIMED)
    assert (run.epoch, run.owner, run.wake_at, run.turn) == (1, "a", NOW + LEASE_S, 1)
    assert (run.started_at, run.attempt) == (int(NOW), 0)


def test_a_lease_that_still_runs_is_respected_to_its_last_moment() -> None:
    assert advance(LLM, f.Claimed("b", NOW + LEASE_S - 0.001, LEASE_S)) is LLM
    assert after(LLM, f.Claimed("b", NOW + LEASE_S, LEASE_S)).owner == "b"


def test_only_the_take_over_of_work_in_progress_counts_as_an_attempt() -> None:
    handed_over = after(WRITING, f.Released(0, NOW), CLAIMED)
    assert (handed_over.attempt, handed_over.epoch) == (0, 2)
    taken_over = after(WRITING, FACTS["taken over"])
    assert (taken_over.attempt, taken_over.epoch) == (1, 2)


def taken_over(run: Run) -> Run:
    """The run in the hands of another owner, the moment the lease of the last one has lapsed."""
    return advance(run, f.Claimed("b", run.wake_at, LEASE_S))


def test_a_run_whose_owners_all_die_is_given_up() -> None:
    run = WRITING
    for _ in range(MAX_TAKE_OVERS):
        run = after(taken_over(run), FACTS["message started"])
        assert run.phase == "llm"
    run = taken_over(run)
    assert (run.phase, run.outcome and run.outcome.status) == ("ending", "failed")
    assert run.step is None
    assert all(step.superseded for step in run.steps)
    run = after(run, f.Settled(NOW))
    assert run.outcome is not None
    assert run.outcome.last_error is not None
    assert (run.status, run.outcome.last_error.code) == ("failed", "server_error")


def test_a_take_over_withdraws_the_whole_turn_and_nothing_before_it() -> None:
    first_turn = after(TOLD, calls_made(CODE), f.ToolAnswered("c1", "2", NOW), CLAIMED)
    second_turn = taken_over(after(first_turn, FACTS["message started"]))
    assert [(step.turn, step.status, step.superseded) for step in second_turn.steps] == [
        (1, "completed", False),
        (1, "completed", False),
        (2, "failed", True),
    ]
    assert second_turn.turn == 2


def test_the_turn_after_a_withdrawn_one_writes_a_message_of_its_own() -> None:
    run = after(WRITING, FACTS["restarted"], FACTS["message started"])
    lost, repeated = run.steps
    assert lost.superseded
    assert not repeated.superseded
    assert lost.message_id != repeated.message_id
    assert run.epoch == WRITING.epoch


def test_a_repeat_of_the_work_makes_the_same_ids() -> None:
    again = after(QUEUED, CLAIMED, FACTS["message started"])
    assert again.steps == WRITING.steps


# -- tool calls


def test_the_first_output_of_a_call_stays() -> None:
    run = after(TOOLS, f.ToolAnswered("c1", "2", NOW))
    assert advance(run, f.ToolAnswered("c1", "3", NOW)) is run
    assert [call.output for call in run.steps[-1].calls] == ["2", None]


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
def test_the_last_output_in_any_order_makes_the_run_runnable(order: tuple[str, str]) -> None:
    run = after(TOOLS, f.ToolAnswered(order[0], "x", NOW))
    assert (run.phase, len(run.awaited)) == ("tools", 1)
    run = after(run, f.ToolAnswered(order[1], "y", NOW))
    assert (run.status, run.phase, run.awaited) == ("in_progress", "runnable", ())


def test_of_mixed_calls_the_client_is_asked_once_the_hosted_ones_are_answered() -> None:
    assert (MIXED.status, MIXED.phase) == ("in_progress", "tools")
    run = after(MIXED, f.ToolAnswered("c1", "2", NOW))
    assert (run.status, run.phase) == ("requires_action", "user")
    assert [call.id for call in run.awaited] == ["f1"]
    run = after(run, f.OutputsSubmitted({"f1": "rain"}, NOW))
    assert [call.output for call in run.steps[-1].calls] == ["2", "rain"]
    assert (run.status, run.phase) == ("queued", "runnable")


def test_a_second_call_of_a_client_function_needs_both_outputs_at_once() -> None:
    run = after(CALLING, calls_made(FUNCTION, FUNCTION.evolve(id="f2")))
    assert advance(run, f.OutputsSubmitted({"f1": "rain"}, NOW)) is run
    assert after(run, f.OutputsSubmitted({"f1": "rain", "f2": "sun"}, NOW)).phase == "runnable"


def test_requests_are_repeated_at_growing_pauses_up_to_a_bound() -> None:
    run, pauses = LAST_TOOL, [LAST_TOOL.wake_at - NOW]
    for _ in range(6):
        run = after(run, f.Rung(NOW))
        pauses.append(run.wake_at - NOW)
    assert pauses == [RING_FIRST_S, 10.0, 20.0, 40.0, RING_MOST_S, RING_MOST_S, RING_MOST_S]
    assert after(run, f.ToolAnswered("c1", "2", NOW), CLAIMED).rings == 0


def test_calls_that_nobody_answers_are_given_up_and_the_model_is_told() -> None:
    rung = [f.Rung(NOW)] * MAX_RINGS
    run = after(LAST_TOOL, *rung)
    assert run.phase == "tools"
    assert answers_by(run) == run.wake_at
    run = after(run, f.Rung(run.wake_at))
    assert (run.phase, run.step) == ("runnable", None)
    assert [call.output for call in run.steps[-1].calls][-1] == UNANSWERED
    assert advance(run, f.ToolAnswered("c1", "too late", NOW)) is run


@pytest.mark.parametrize("call_s", [0.0, 60.0, 255.0, 256.0, 316.0, 1800.0])
def test_no_call_is_given_up_before_it_may_have_run_its_whole_time(call_s: float) -> None:
    claimed = f.Claimed("a", NOW, LEASE_S, call_s)
    patient = QUEUED.evolve(expires_at=int(NOW) + 7200)
    run = after(patient, claimed, of_epoch(f.CallsStarted(0, NOW), 1), of_epoch(calls_made(CODE), 1))
    begins_late_s, rings = RING_MOST_S, 0
    assert answers_by(run) - NOW >= begins_late_s + call_s
    given_up_at = answers_by(run)
    while run.phase == "tools":
        rung_at = run.wake_at
        run, rings = after(run, f.Rung(rung_at)), rings + 1
    assert (rung_at, rings - 1) == (given_up_at, most_rings(run))
    assert (rings - 1 == MAX_RINGS) == (call_s <= 255)


def test_the_client_is_still_asked_when_the_hosted_calls_are_given_up() -> None:
    run = after(MIXED, *[f.Rung(NOW)] * (MAX_RINGS + 1))
    assert (run.status, run.phase) == ("requires_action", "user")
    assert [call.id for call in run.awaited] == ["f1"]


def test_each_answer_gives_those_that_are_open_their_whole_time() -> None:
    run = after(TOOLS, f.Rung(NOW), f.Rung(NOW))
    assert after(run, f.ToolAnswered("c1", "2", NOW)).rings == 0
    assert answers_by(TOOLS) == min(NOW + 315, EXPIRES_AT)


def test_an_answer_among_several_does_not_put_off_the_next_ring() -> None:
    assert after(TOOLS, f.ToolAnswered("c1", "2", NOW + 4)).wake_at == TOOLS.wake_at


# -- cancellation and expiry


def test_an_owner_gets_some_seconds_to_let_go() -> None:
    run = after(WRITING, CANCELLED)
    assert (run.wake_at, run.owner, run.epoch) == (NOW + CANCEL_S, "a", WRITING.epoch)


def test_what_was_written_before_a_cancellation_is_kept_in_an_incomplete_message() -> None:
    run = after(STOPPING_WRITING, FACTS["stopped"], f.Settled(NOW))
    step = run.steps[-1]
    assert (run.status, step.status, step.content) == ("cancelled", "cancelled", TEXT)
    assert step.incomplete_reason == "run_cancelled"


@pytest.mark.parametrize("fact", ["answered", "cut short", "failed", "stopped", "expired", "taken over"])
def test_a_run_that_is_being_cancelled_ends_as_cancelled(fact: str) -> None:
    run = after(STOPPING_WRITING, FACTS[fact], f.Settled(NOW))
    assert run.status == "cancelled"


@pytest.mark.parametrize("situation", [name for name, run in SITUATIONS.items() if run.phase == "ending"])
def test_a_decided_end_is_not_decided_again(situation: str) -> None:
    run = SITUATIONS[situation]
    for name, fact in FACTS.items():
        if name != "settled":
            assert advance(run, of_epoch(fact, run.epoch)) is run


def test_expiry_fences_the_owner() -> None:
    run = after(WRITING, FACTS["expired"])
    assert run.epoch == WRITING.epoch + 1
    assert advance(run, of_epoch(ANSWERED, WRITING.epoch)) is run


@pytest.mark.parametrize("late_s", [-0.001, 0.0])
def test_a_run_expires_at_its_time_and_not_before(late_s: float) -> None:
    expired = advance(USER, f.Expired(EXPIRES_AT + late_s))
    assert (expired is USER) == (late_s < 0)


# -- the end


def test_an_end_is_decided_first_and_shown_when_all_before_it_is_visible() -> None:
    assert (ENDING.status, ENDING.phase, ENDING.ended_at, ENDING.usage) == (
        "in_progress",
        "ending",
        None,
        None,
    )
    assert (DONE.status, DONE.ended_at, DONE.usage, DONE.ended) == ("completed", int(NOW), USAGE, True)


def test_the_usage_of_a_run_is_the_sum_of_its_steps() -> None:
    run = after(TOLD, calls_made(CODE), f.ToolAnswered("c1", "2", NOW), CLAIMED, ANSWERED, f.Settled(NOW))
    assert [step.usage for step in run.steps] == [Usage(), USAGE, USAGE]
    assert run.usage == USAGE + USAGE


def test_a_run_without_a_step_has_no_usage() -> None:
    assert after(QUEUED, CANCELLED, f.Settled(NOW)).usage is None


@pytest.mark.parametrize(
    ("reason", "of_message"),
    [
        ("max_completion_tokens", "max_tokens"),
        ("max_prompt_tokens", "max_tokens"),
        ("content_filter", "content_filter"),
        (None, None),
    ],
)
def test_a_message_says_why_it_is_incomplete_in_words_of_its_own(
    reason: str | None, of_message: str | None
) -> None:
    run = after(WRITING, replace(ANSWERED, incomplete_reason=reason), f.Settled(NOW))
    assert run.status == ("incomplete" if reason else "completed")
    assert run.outcome is not None
    assert (run.outcome.incomplete_reason, run.steps[-1].incomplete_reason) == (reason, of_message)


def test_an_answer_without_a_message_begun_makes_one_and_no_text_makes_none() -> None:
    assert len(after(LLM, ANSWERED).steps) == 1
    assert after(LLM, replace(ANSWERED, content=())).steps == ()


def test_the_rules_leave_the_run_before_as_it_was() -> None:
    before: dict[str, Run] = {name: run.model_copy(deep=True) for name, run in SITUATIONS.items()}
    for run in SITUATIONS.values():
        for fact in FACTS.values():
            advance(run, of_epoch(fact, run.epoch))
    assert before == SITUATIONS
