"""What an event shows is what was true right then, however the run went on."""

import pytest

from shared.runs import facts as f
from shared.runs.model import Event, Json, Run, Step, ToolCall
from shared.runs.views import WITHDRAWN, at_event, message_view, run_view, step_view
from tests.unit.run_samples import (
    ANSWERED,
    CALLING,
    CANCELLED,
    CLAIMED,
    CODE,
    DONE,
    FACTS,
    FUNCTION,
    LLM,
    NOW,
    SITUATIONS,
    TEXT,
    TOLD,
    WRITING,
    after,
    calls_made,
)
from tests.unit.run_space import changes


def test_the_last_word_about_an_object_is_how_it_is_now() -> None:
    for change in changes():
        run, new = change.after, change.after.events[len(change.before.events) :]
        last = {_subject(event): event for event in new}
        for event in last.values():
            if event.type != WITHDRAWN:
                assert at_event(run, event) == _now(run, event), event.type


def test_a_view_stays_as_the_run_goes_on() -> None:
    """Frames are made when events are announced, which may be much later than they became true."""
    for change in changes()[::17]:  # each pair of states shows all that was told so far
        for event in change.before.events:
            assert at_event(change.before, event) == at_event(change.after, event), event.type


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_status_in_a_view_is_the_event_s(situation: str) -> None:
    run = SITUATIONS[situation]
    for event in run.events:
        shown, said = at_event(run, event), event.type.rpartition(".")[2]
        assert shown["status"] == {"created": _first_status(event)}.get(said, said)


def test_what_a_run_shows_of_its_end() -> None:
    view = run_view(DONE)
    assert (view["completed_at"], view["expires_at"], view["usage"]["total_tokens"]) == (int(NOW), None, 10)
    running = at_event(DONE, DONE.events[2])
    assert (running["status"], running["completed_at"], running["usage"]) == ("in_progress", None, None)
    assert running["expires_at"] == DONE.expires_at


def test_an_event_before_the_answer_asks_for_the_calls_of_its_step() -> None:
    asked = after(TOLD, calls_made(FUNCTION))
    again = FUNCTION.evolve(id="f2")
    run = after(
        asked, f.OutputsSubmitted({"f1": "rain"}, NOW), CLAIMED, FACTS["calls started"], calls_made(again)
    )
    first, second = (event for event in run.events if event.type == "thread.run.requires_action")
    assert _asked_calls(at_event(run, first)) == ["f1"]
    assert _asked_calls(at_event(run, second)) == ["f2"]
    assert run_view(run)["required_action"] == at_event(run, second)["required_action"]


def test_only_the_client_s_calls_are_asked_for() -> None:
    run = after(CALLING, calls_made(CODE, FUNCTION), f.ToolAnswered("c1", "2", NOW))
    assert _asked_calls(run_view(run)) == ["f1"]


def test_a_step_shows_its_calls_with_what_they_answered() -> None:
    logs = {"type": "logs", "logs": "2\n"}
    run = after(CALLING, calls_made(CODE), f.ToolAnswered("c1", "2", NOW, (logs,)))
    view = at_event(run, run.events[-1])
    assert view["step_details"]["tool_calls"] == [
        {"id": "c1", "type": "code_interpreter", "code_interpreter": {"input": "1+1", "outputs": [logs]}}
    ]
    created = at_event(run, next(event for event in run.events if event.type.endswith("step.created")))
    assert created["step_details"]["tool_calls"] == []


def test_a_message_is_empty_when_it_begins_and_whole_when_it_ends() -> None:
    run = after(WRITING, ANSWERED)
    begun, ended = (e for e in run.events if e.type in ("thread.message.created", "thread.message.completed"))
    assert at_event(run, begun)["content"] == []
    assert at_event(run, ended)["content"] == list(TEXT)


@pytest.mark.parametrize(("watched", "shown"), [(True, DONE.expires_at), (False, None)])
def test_a_step_of_an_ended_run_shows_the_expiry_only_in_a_stream(watched: bool, shown: int | None) -> None:
    assert step_view(DONE, DONE.steps[0], live=watched)["expires_at"] == shown


def test_a_failure_is_told_by_the_run_and_by_its_step() -> None:
    run = after(WRITING, FACTS["failed"], f.Settled(NOW))
    error = {"code": "rate_limit_exceeded", "message": "Slow down."}
    assert run_view(run)["last_error"] == step_view(run, run.steps[0])["last_error"] == error
    assert at_event(run, run.events[1])["last_error"] is None


def test_a_cancelled_run_says_when() -> None:
    run = after(LLM, CANCELLED, FACTS["stopped"], f.Settled(NOW))
    assert (run_view(run)["status"], run_view(run)["cancelled_at"]) == ("cancelled", int(NOW))


def _subject(event: Event) -> tuple[str, str | None]:
    if event.step_id is None:
        return "run", None
    return ("step" if event.type.startswith("thread.run.step.") else "message"), event.step_id


def _step(run: Run, event: Event) -> Step:
    return next(step for step in run.steps if step.id == event.step_id)


def _now(run: Run, event: Event) -> Json:
    match _subject(event)[0]:
        case "run":
            return run_view(run)
        case "step":
            return step_view(run, _step(run, event), live=True)
        case _:
            return message_view(run, _step(run, event))


def _first_status(event: Event) -> str:
    return "queued" if event.step_id is None else "in_progress"


def _asked_calls(view: Json) -> list[str]:
    return [call["id"] for call in view["required_action"]["submit_tool_outputs"]["tool_calls"]]


def test_a_search_shows_its_results_without_their_text() -> None:
    options = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
    call = ToolCall(id="s1", type="file_search", name="file_search", input='["q"]')
    asked = after(CALLING, calls_made(call))
    found = {"file_id": "file-1", "file_name": "a.txt", "score": 0.5, "text": "secret"}
    for run, results in (
        (asked, []),
        (after(asked, f.ToolAnswered("s1", "", NOW, results=(found,))), [found]),
    ):
        (shown,) = step_view(run, run.steps[0])["step_details"]["tool_calls"]
        assert shown == {
            "id": "s1",
            "type": "file_search",
            "file_search": {
                "ranking_options": options,
                "results": [
                    {"file_id": "file-1", "file_name": "a.txt", "score": 0.5, "attributes": {}}
                    for _ in results
                ],
            },
        }


def test_a_run_of_before_searches_is_still_read() -> None:
    stored = after(CALLING, calls_made(CODE)).model_dump(mode="json")
    for call in stored["steps"][0]["calls"]:
        for new in ("ranking", "place", "results"):
            del call[new]
    del stored["settings"]["awaited_stores"]
    run = Run.model_validate(stored)
    assert (run.steps[0].calls[0].results, run.settings.awaited_stores) == ((), ())
